#pragma once

#include "../../tensor/extents.hpp"
#include "../menu/detail/kernels/columns.hpp"
#include "../menu/scan_problem.hpp"
#include "detail/collective_kernels.cuh"
#include "detail/launch.cuh"

#include <cuda_runtime.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/tabulate_output_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/scan.h>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cub/device/device_scan.cuh>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>

namespace sdlora {

namespace detail {

template <class Problem>
struct LoadJoined {
  JoinedSteps<Problem> steps;
  __host__ __device__ typename Problem::value_type operator()(std::int64_t i) const { return steps.load(i); }
};
template <class Problem>
struct StoreJoined {
  JoinedSteps<Problem> steps;
  __host__ __device__ void operator()(std::int64_t i, const typename Problem::value_type& result) const {
    steps.store(i, result);
  }
};
template <class Problem>
struct ColumnOfJoined {
  JoinedSteps<Problem> steps;
  __host__ __device__ std::int64_t operator()(std::int64_t i) const { return steps.place_of(i).c; }
};

template <class Problem>
auto joined_in(const Problem& x) {
  return thrust::make_transform_iterator(thrust::make_counting_iterator(std::int64_t{0}),
                                         LoadJoined<Problem>{{x}});
}
template <class Problem>
auto joined_out(const Problem& x) {
  return thrust::make_tabulate_output_iterator(StoreJoined<Problem>{{x}});
}

inline unsigned blocks_for(std::int64_t work, std::int64_t each) {
  const std::int64_t blocks = detail::ceil_div(work, each);
  if (blocks > 0x7fff'ffff) {
    throw ShapeError("scan on the GPU: " + std::to_string(blocks) +
                     " blocks are more than one launch can hold; scan fewer columns at once");
  }
  return static_cast<unsigned>(blocks);
}

/// Policies that need no scratch memory.
struct WithoutWorkspace {
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem&) {
    return 0;
  }
};

/// Policies whose `scan(workspace, bytes, stream, x)` says how much it needs where workspace is null, as
/// CUB's device algorithms do.
template <class Policy>
struct SizedByItself {
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    std::size_t bytes = 0;
    Policy::scan(nullptr, bytes, nullptr, x);
    return bytes;
  }
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void* workspace, std::size_t bytes) {
    Policy::scan(workspace, bytes, stream, x);
  }
};

}  // namespace detail

/// cub::WarpScan: one warp per column, 32 steps at a time. Work L·log 32, depth L/32·5; good for short L with
/// time contiguous. Stability good. Deterministic. Source: https://nvidia.github.io/cccl/cub/
struct CudaWarpScan : detail::WithoutWorkspace {
  static constexpr std::string_view name = "cub::WarpScan";
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void*, std::size_t) {
    constexpr int warps = detail::warp_scan_warps;
    detail::warp_scan_kernel<<<detail::blocks_for(x.columns, warps), warps * 32, 0, stream>>>(x);
  }
};

/// cub::BlockScan: one block of 128 threads × 8 steps per column, tile by tile. Work 2L, depth L/1024 tiles,
/// each of 8 steps in a thread and, by `Algorithm`, log 32 of a warp and 4 warps (WARP_SCANS, for low
/// occupancy), or 4 steps of one warp's lanes and log 32 (RAKING, for high, and RAKING_MEMOIZE, which keeps
/// them in registers). Stability good. Deterministic. Source as above.
template <cub::BlockScanAlgorithm Algorithm>
struct CudaBlockScan : detail::WithoutWorkspace {
  static constexpr std::string_view name =
      Algorithm == cub::BLOCK_SCAN_WARP_SCANS ? "cub::BlockScan WARP_SCANS"
      : Algorithm == cub::BLOCK_SCAN_RAKING   ? "cub::BlockScan RAKING"
                                              : "cub::BlockScan RAKING_MEMOIZE";
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void*, std::size_t) {
    detail::block_scan_kernel<Algorithm>
        <<<detail::blocks_for(x.columns, 1), detail::block_scan_threads, 0, stream>>>(x);
  }
};

/// One thread per column, the state in a register. Work L, depth L, the operation order of the oracle. Wants
/// neighbouring columns side by side (column_stride 1) and thousands of them. Stability that of the oracle.
/// Deterministic. Source: Gu and Dao, "Mamba", 2023, arXiv 2312.00752, section 3.3.2.
struct CudaThreadPerChannel : detail::WithoutWorkspace {
  static constexpr std::string_view name = "thread per channel";
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void*, std::size_t) {
    detail::CudaScanLauncher(stream, name.data())
        .run<detail::ColumnKernel<Problem>>(detail::ColumnKernelShape::blocks(x.columns), 0, x);
  }
};

/// Chunked: pieces of time, then what they carry, then the pieces again. Work 2L, depth 2·L/pieces + pieces.
/// Stability good. Pieces are cut by the shape alone: deterministic. Source as Chunked
/// (chunked.hpp).
struct CudaSplitTime {
  static constexpr std::string_view name = "split time";
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    return static_cast<std::size_t>(x.columns * detail::piece_count(x.length, x.columns)) *
           sizeof(typename Problem::value_type);
  }
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void* workspace, std::size_t) {
    detail::CudaScanLauncher launcher(stream, name.data());
    detail::scan_pieces(launcher, x, static_cast<typename Problem::value_type*>(workspace));
  }
};

/// cub::DeviceScan over all columns as one sequence that restarts with each. Work 2L, depth L/tile; the order
/// of its look-back, and so the rounding, may change from run to run; stability good. For one huge sequence.
/// Source: Merrill and Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back", 2016.
struct CudaDeviceScan : detail::SizedByItself<CudaDeviceScan> {
  static constexpr std::string_view name = "cub::DeviceScan";

  template <class Problem>
  static void scan(void* workspace, std::size_t& bytes, cudaStream_t stream, const Problem& x) {
    detail::check_cuda(
        cub::DeviceScan::InclusiveScan(workspace, bytes, detail::joined_in(x), detail::joined_out(x),
                                       x.joined_op(), x.length * x.columns, stream),
        name.data());
  }
};

/// cub::DeviceScan::InclusiveScanByKey with the column as key. Work 2L, depth L/tile, order and stability as
/// CudaDeviceScan. Source: https://nvidia.github.io/cccl/cub/
struct CudaDeviceScanByKey : detail::SizedByItself<CudaDeviceScanByKey> {
  static constexpr std::string_view name = "cub::DeviceScan ByKey";

  template <class Problem>
  static void scan(void* workspace, std::size_t& bytes, cudaStream_t stream, const Problem& x) {
    const auto keys = thrust::make_transform_iterator(thrust::make_counting_iterator(std::int64_t{0}),
                                                      detail::ColumnOfJoined<Problem>{{x}});
    detail::check_cuda(cub::DeviceScan::InclusiveScanByKey(
                           workspace, bytes, keys, detail::joined_in(x), detail::joined_out(x), x.op(),
                           x.length * x.columns, cuda::std::equal_to<>{}, stream),
                       name.data());
  }
};

/// thrust::inclusive_scan on the stream. Work 2L, depth L/tile, order and stability as CudaDeviceScan, but it
/// allocates for itself, so a graph cannot capture it. Source: https://nvidia.github.io/cccl/thrust/
struct CudaThrustScan : detail::WithoutWorkspace {
  static constexpr std::string_view name = "thrust::inclusive_scan";
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void*, std::size_t) {
    const auto steps = detail::joined_in(x);
    try {
      thrust::inclusive_scan(thrust::cuda::par_nosync.on(stream), steps, steps + x.length * x.columns,
                             detail::joined_out(x), x.joined_op());
    } catch (const std::exception& error) {  // of its allocation, or of a launch
      static_cast<void>(cudaGetLastError());
      throw Error(std::string(name) + ": " + error.what());
    }
  }
};

/// One pass with decoupled look-back (cub::ScanTileState), reading the steps where they are: nothing is
/// materialised. Work 2L, depth L/tile. Order, stability and source as CudaDeviceScan.
struct CudaLookBack {
  static constexpr std::string_view name = "fused look-back";
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    std::size_t bytes = 0;
    detail::check_cuda(Tiles<Problem>::AllocationSize(tiles(x), bytes), name.data());
    return bytes;
  }
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void* workspace, std::size_t bytes) {
    Tiles<Problem> state;
    detail::check_cuda(state.Init(tiles(x), workspace, bytes), name.data());
    const int count = tiles(x);
    detail::look_back_init_kernel<<<detail::blocks_for(count, 128), 128, 0, stream>>>(state, count);
    detail::look_back_kernel<Problem>
        <<<static_cast<unsigned>(count), detail::block_scan_threads, 0, stream>>>(
            detail::JoinedSteps<Problem>{x}, state);
  }

 private:
  template <class Problem>
  using Tiles = detail::LookBackTiles<typename Problem::value_type>;
  template <class Problem>
  static int tiles(const Problem& x) {
    return static_cast<int>(detail::blocks_for(x.length * x.columns, detail::block_scan_tile));
  }
};

/// An algorithm for the GPU: an empty type with a `name`, and for every ScanProblem the scratch memory that
/// it needs and a run on a stream.
template <class Policy>
concept CudaScanPolicy =
    std::is_empty_v<Policy> && std::semiregular<Policy> &&
    requires(const LinearScanProblem<float>& x, cudaStream_t stream, void* workspace, std::size_t bytes) {
      { Policy::name } -> std::convertible_to<std::string_view>;
      { Policy::workspace_bytes(x) } -> std::same_as<std::size_t>;
      Policy::run(stream, x, workspace, bytes);
    };

/// Scans a problem in device memory by the algorithm `Policy`. `workspace` holds Policy::workspace_bytes(x)
/// bytes. Asynchronous on `stream`. Throws ShapeError where a launch cannot hold the shape, Error where it
/// fails.
template <CudaScanPolicy Policy, ScanProblem Problem>
void cuda_scan(Policy, cudaStream_t stream, const Problem& x, void* workspace, std::size_t workspace_bytes) {
  if (x.length == 0 || x.columns == 0) return;
  if (x.has_head()) {
    detail::CudaScanLauncher(stream, Policy::name.data())
        .run<detail::HeadKernel<Problem>>(detail::ColumnKernelShape::blocks(x.columns), 0, x);
  }
  Policy::run(stream, x, workspace, workspace_bytes);
  detail::check_cuda(cudaGetLastError(), Policy::name.data());
}

/// f(policy) for every algorithm for the GPU.
template <class F>
void for_each_cuda_scan(F&& f) {
  f(CudaWarpScan{});
  f(CudaBlockScan<cub::BLOCK_SCAN_WARP_SCANS>{});
  f(CudaBlockScan<cub::BLOCK_SCAN_RAKING>{});
  f(CudaBlockScan<cub::BLOCK_SCAN_RAKING_MEMOIZE>{});
  f(CudaThreadPerChannel{});
  f(CudaSplitTime{});
  f(CudaDeviceScan{});
  f(CudaDeviceScanByKey{});
  f(CudaThrustScan{});
  f(CudaLookBack{});
}

}  // namespace sdlora
