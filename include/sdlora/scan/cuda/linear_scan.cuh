#pragma once

#include "../operator.hpp"
#include "detail/launch.cuh"

#include <cuda_runtime.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/tabulate_output_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/scan.h>
#include <cstddef>
#include <cstdint>
#include <cub/agent/single_pass_scan_operators.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/warp/warp_scan.cuh>
#include <string_view>

namespace sdlora {

/// Independent linear recurrences h_t = a_t·h_{t−1} + b_t in device memory, one
/// per column. Element t of column c lies at t·time_stride + c·column_stride:
/// (1, L) has time contiguous, (columns, 1) channels; a negative time_stride
/// with pointers to the last steps scans in reverse.
struct CudaLinearScan {
  const float* a = nullptr;
  const float* b = nullptr;
  float* h = nullptr;
  std::int64_t length = 0;
  std::int64_t columns = 0;
  std::int64_t time_stride = 1;
  std::int64_t column_stride = 0;
  const float* initial = nullptr;  ///< (columns), or null for zero
  bool exclusive = false;          ///< h_t is the state before step t; h must then not
                                   ///< overlap a and b
};

namespace detail {

using CudaStep = LinearStep<float>;

__host__ __device__ inline std::int64_t place_of(const CudaLinearScan& x, std::int64_t t, std::int64_t c) {
  return t * x.time_stride + c * x.column_stride;
}

/// Writes the state after step t.
__host__ __device__ inline void store_state(const CudaLinearScan& x, std::int64_t t, std::int64_t c,
                                            float state) {
  if (!x.exclusive) {
    x.h[place_of(x, t, c)] = state;
  } else if (t + 1 < x.length) {
    x.h[place_of(x, t + 1, c)] = state;
  }
}

/// Element i of all columns one after another. The first step of a column
/// forgets what was before it (a = 0), so one scan over everything restarts at
/// every column.
struct ConcatenatedStep {
  CudaLinearScan x;
  __host__ __device__ CudaStep operator()(std::int64_t i) const {
    const std::int64_t c = i / x.length;
    const std::int64_t t = i - c * x.length;
    const std::int64_t at = place_of(x, t, c);
    if (t > 0) return {x.a[at], x.b[at]};
    return {0.0F, x.initial != nullptr ? x.a[at] * x.initial[c] + x.b[at] : x.b[at]};
  }
};
struct ColumnOf {
  std::int64_t length;
  __host__ __device__ std::int64_t operator()(std::int64_t i) const { return i / length; }
};
struct StoreConcatenated {
  CudaLinearScan x;
  __host__ __device__ void operator()(std::int64_t i, const CudaStep& step) const {
    if (x.time_stride == 1 && x.column_stride == x.length && !x.exclusive) {
      x.h[i] = step.b;
    } else {
      const std::int64_t c = i / x.length;
      store_state(x, i - c * x.length, c, step.b);
    }
  }
};

inline auto concatenated_steps(const CudaLinearScan& x) {
  return thrust::make_transform_iterator(thrust::make_counting_iterator(std::int64_t{0}),
                                         ConcatenatedStep{x});
}
inline auto states_out(const CudaLinearScan& x) {
  return thrust::make_tabulate_output_iterator(StoreConcatenated{x});
}

template <class Unused = void>
__global__ void warp_scan_kernel(const CudaLinearScan x) {
  constexpr int warps = 4;
  using Scan = cub::WarpScan<CudaStep>;
  __shared__ typename Scan::TempStorage storage[warps];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * warps + warp;
  if (c >= x.columns) return;
  float state = x.initial != nullptr ? x.initial[c] : 0.0F;
  for (std::int64_t begin = 0; begin < x.length; begin += 32) {
    const std::int64_t t = begin + lane;
    CudaStep step;
    if (t < x.length) step = {x.a[place_of(x, t, c)], x.b[place_of(x, t, c)]};
    Scan(storage[warp]).InclusiveScan(step, step, LinearRecurrence<float>{});
    const float after = LinearRecurrence<float>::apply(step, state);
    if (t < x.length) store_state(x, t, c, after);
    state = __shfl_sync(0xffff'ffffU, after, 31);
    __syncwarp();
  }
}

/// Hands the state on from tile to tile of one column.
struct RunningState {
  CudaStep before;
  __device__ CudaStep operator()(const CudaStep& tile) {
    const CudaStep old = before;
    before = LinearRecurrence<float>{}(old, tile);
    return old;
  }
};

inline constexpr int block_scan_threads = 128;
inline constexpr int block_scan_items = 8;

template <cub::BlockScanAlgorithm Algorithm>
__global__ void __launch_bounds__(block_scan_threads) block_scan_kernel(const CudaLinearScan x) {
  using Scan = cub::BlockScan<CudaStep, block_scan_threads, Algorithm>;
  __shared__ typename Scan::TempStorage storage;
  const std::int64_t c = blockIdx.x;
  RunningState running{{1.0F, x.initial != nullptr ? x.initial[c] : 0.0F}};
  constexpr int tile = block_scan_threads * block_scan_items;
  for (std::int64_t begin = 0; begin < x.length; begin += tile) {
    CudaStep steps[block_scan_items];
    const std::int64_t first = begin + static_cast<std::int64_t>(threadIdx.x) * block_scan_items;
#pragma unroll
    for (int i = 0; i < block_scan_items; ++i) {
      steps[i] = CudaStep{};
      if (first + i < x.length) steps[i] = {x.a[place_of(x, first + i, c)], x.b[place_of(x, first + i, c)]};
    }
    Scan(storage).InclusiveScan(steps, steps, LinearRecurrence<float>{}, running);
#pragma unroll
    for (int i = 0; i < block_scan_items; ++i) {
      if (first + i < x.length) store_state(x, first + i, c, steps[i].b);
    }
    __syncthreads();
  }
}

/// What an exclusive scan has in its first row.
template <class Unused = void>
__global__ void exclusive_head_kernel(const CudaLinearScan x) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < x.columns) x.h[place_of(x, 0, c)] = x.initial != nullptr ? x.initial[c] : 0.0F;
}

template <class Unused = void>
__global__ void thread_per_channel_kernel(const CudaLinearScan x) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= x.columns) return;
  float state = x.initial != nullptr ? x.initial[c] : 0.0F;
#pragma unroll 8
  for (std::int64_t t = 0; t < x.length; ++t) {
    const std::int64_t at = place_of(x, t, c);
    state = x.a[at] * state + x.b[at];
    store_state(x, t, c, state);
  }
}

/// The first pass of a split scan: the product and the end state of each piece
/// of a column.
template <class Unused = void>
__global__ void piece_kernel(const CudaLinearScan x, std::int64_t piece, std::int64_t pieces,
                             CudaStep* aggregates) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= x.columns * pieces) return;
  const std::int64_t c = i % x.columns;
  const std::int64_t begin = i / x.columns * piece;
  CudaStep whole;
  for (std::int64_t t = begin; t < begin + piece && t < x.length; ++t) {
    const std::int64_t at = place_of(x, t, c);
    whole = LinearRecurrence<float>{}(whole, {x.a[at], x.b[at]});
  }
  aggregates[i] = whole;
}
/// The second: replaces each aggregate by the state that enters its piece.
template <class Unused = void>
__global__ void piece_carry_kernel(const CudaLinearScan x, std::int64_t pieces, CudaStep* aggregates) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= x.columns) return;
  float state = x.initial != nullptr ? x.initial[c] : 0.0F;
  for (std::int64_t k = 0; k < pieces; ++k) {
    CudaStep& aggregate = aggregates[k * x.columns + c];
    const float next = LinearRecurrence<float>::apply(aggregate, state);
    aggregate.b = state;
    state = next;
  }
}
/// The third: every piece from its entering state.
template <class Unused = void>
__global__ void piece_apply_kernel(const CudaLinearScan x, std::int64_t piece, std::int64_t pieces,
                                   const CudaStep* aggregates) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= x.columns * pieces) return;
  const std::int64_t c = i % x.columns;
  const std::int64_t begin = i / x.columns * piece;
  float state = aggregates[i].b;
  for (std::int64_t t = begin; t < begin + piece && t < x.length; ++t) {
    const std::int64_t at = place_of(x, t, c);
    state = x.a[at] * state + x.b[at];
    store_state(x, t, c, state);
  }
}

using LookBackTiles = cub::ScanTileState<CudaStep>;

template <class Unused = void>
__global__ void look_back_init_kernel(LookBackTiles tiles, int count) {
  tiles.InitializeStatus(count);
}

/// One pass over all columns one after another: each block scans its tile and
/// looks back for what the tiles before it did (Merrill and Garland,
/// "Single-pass Parallel Prefix Scan", 2016).
template <class Unused = void>
__global__ void __launch_bounds__(block_scan_threads)
    look_back_kernel(const CudaLinearScan x, LookBackTiles tiles) {
  using Scan = cub::BlockScan<CudaStep, block_scan_threads, cub::BLOCK_SCAN_WARP_SCANS>;
  using Prefix = cub::TilePrefixCallbackOp<CudaStep, LinearRecurrence<float>, LookBackTiles>;
  __shared__ union {
    typename Scan::TempStorage scan;
    struct {
      typename Prefix::TempStorage prefix;
      typename Scan::TempStorage scan;
    } later;
  } storage;
  constexpr int tile_size = block_scan_threads * block_scan_items;
  const int tile = static_cast<int>(blockIdx.x);
  const std::int64_t size = x.length * x.columns;
  const std::int64_t first =
      static_cast<std::int64_t>(tile) * tile_size + static_cast<std::int64_t>(threadIdx.x) * block_scan_items;
  CudaStep steps[block_scan_items];
  const ConcatenatedStep step_at{x};
  const StoreConcatenated store{x};
#pragma unroll
  for (int i = 0; i < block_scan_items; ++i) steps[i] = first + i < size ? step_at(first + i) : CudaStep{};
  if (tile == 0) {
    CudaStep aggregate;
    Scan(storage.scan).InclusiveScan(steps, steps, LinearRecurrence<float>{}, aggregate);
    if (threadIdx.x == 0) tiles.SetInclusive(0, aggregate);
  } else {
    Prefix prefix(tiles, storage.later.prefix, LinearRecurrence<float>{}, tile);
    Scan(storage.later.scan).InclusiveScan(steps, steps, LinearRecurrence<float>{}, prefix);
  }
#pragma unroll
  for (int i = 0; i < block_scan_items; ++i) {
    if (first + i < size) store(first + i, steps[i]);
  }
}

inline unsigned blocks_for(std::int64_t work, std::int64_t each) {
  const std::int64_t blocks = (work + each - 1) / each;
  if (blocks > 0x7fff'ffff) {
    throw ShapeError("cuda_linear_scan: " + std::to_string(blocks) +
                     " blocks are more than one launch can hold; scan fewer "
                     "columns at once");
  }
  return static_cast<unsigned>(blocks);
}

}  // namespace detail

/// cub::WarpScan: one warp per column, 32 steps at a time. Work L·log 32, depth
/// L/32·5; good for short L with time contiguous. Stability good.
/// Deterministic.
struct CudaWarpScan {
  static constexpr std::string_view name = "cub::WarpScan";
  static std::size_t workspace_bytes(const CudaLinearScan&) { return 0; }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void*, std::size_t) {
    detail::warp_scan_kernel<><<<detail::blocks_for(x.columns, 4), 128, 0, stream>>>(x);
  }
};

/// cub::BlockScan: one block of 128 threads × 8 steps per column. Work 2L,
/// depth by `Algorithm`: WARP_SCANS for low occupancy, RAKING for high,
/// RAKING_MEMOIZE between. Deterministic.
template <cub::BlockScanAlgorithm Algorithm>
struct CudaBlockScan {
  static constexpr std::string_view name =
      Algorithm == cub::BLOCK_SCAN_WARP_SCANS ? "cub::BlockScan WARP_SCANS"
      : Algorithm == cub::BLOCK_SCAN_RAKING   ? "cub::BlockScan RAKING"
                                              : "cub::BlockScan RAKING_MEMOIZE";
  static std::size_t workspace_bytes(const CudaLinearScan&) { return 0; }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void*, std::size_t) {
    detail::block_scan_kernel<Algorithm>
        <<<detail::blocks_for(x.columns, 1), detail::block_scan_threads, 0, stream>>>(x);
  }
};

/// One thread per column, the state in a register. Work L, depth L, the
/// operation order of the oracle. Wants neighbouring columns side by side
/// (column_stride 1) and thousands of them.
struct CudaThreadPerChannel {
  static constexpr std::string_view name = "thread per channel";
  static std::size_t workspace_bytes(const CudaLinearScan&) { return 0; }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void*, std::size_t) {
    detail::thread_per_channel_kernel<><<<detail::blocks_for(x.columns, 128), 128, 0, stream>>>(x);
  }
};

/// Chunked: pieces of time, then their carries, then the pieces again. Work 2L,
/// depth 2·L/pieces + pieces. Pieces are cut by the shape alone: deterministic.
struct CudaSplitTime {
  static constexpr std::string_view name = "split time";
  static std::int64_t piece(const CudaLinearScan& x) {
    std::int64_t steps = 64;
    while (x.columns * (x.length / steps) > 262144 && steps < 1024) steps *= 2;
    return steps;
  }
  static std::int64_t pieces(const CudaLinearScan& x) { return (x.length + piece(x) - 1) / piece(x); }
  static std::size_t workspace_bytes(const CudaLinearScan& x) {
    return static_cast<std::size_t>(x.columns * pieces(x)) * sizeof(detail::CudaStep);
  }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void* workspace, std::size_t) {
    auto* const aggregates = static_cast<detail::CudaStep*>(workspace);
    const std::int64_t count = pieces(x);
    const unsigned blocks = detail::blocks_for(x.columns * count, 128);
    detail::piece_kernel<><<<blocks, 128, 0, stream>>>(x, piece(x), count, aggregates);
    detail::piece_carry_kernel<>
        <<<detail::blocks_for(x.columns, 128), 128, 0, stream>>>(x, count, aggregates);
    detail::piece_apply_kernel<><<<blocks, 128, 0, stream>>>(x, piece(x), count, aggregates);
  }
};

/// cub::DeviceScan over all columns as one sequence that restarts where a = 0.
/// Work 2L; the order of the look-back, and so the rounding, may change from
/// run to run. For one huge sequence.
struct CudaDeviceScan {
  static constexpr std::string_view name = "cub::DeviceScan";
  static std::size_t workspace_bytes(const CudaLinearScan& x) {
    std::size_t bytes = 0;
    scan(nullptr, bytes, nullptr, x);
    return bytes;
  }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void* workspace, std::size_t bytes) {
    scan(workspace, bytes, stream, x);
  }

 private:
  static void scan(void* workspace, std::size_t& bytes, cudaStream_t stream, const CudaLinearScan& x) {
    detail::check_cuda(
        cub::DeviceScan::InclusiveScan(workspace, bytes, detail::concatenated_steps(x), detail::states_out(x),
                                       LinearRecurrence<float>{}, x.length * x.columns, stream),
        "cub::DeviceScan");
  }
};

/// cub::DeviceScan::InclusiveScanByKey with the column as key. Work and order
/// as CudaDeviceScan.
struct CudaDeviceScanByKey {
  static constexpr std::string_view name = "cub::DeviceScan ByKey";
  static std::size_t workspace_bytes(const CudaLinearScan& x) {
    std::size_t bytes = 0;
    scan(nullptr, bytes, nullptr, x);
    return bytes;
  }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void* workspace, std::size_t bytes) {
    scan(workspace, bytes, stream, x);
  }

 private:
  static void scan(void* workspace, std::size_t& bytes, cudaStream_t stream, const CudaLinearScan& x) {
    const auto keys = thrust::make_transform_iterator(thrust::make_counting_iterator(std::int64_t{0}),
                                                      detail::ColumnOf{x.length});
    detail::check_cuda(cub::DeviceScan::InclusiveScanByKey(
                           workspace, bytes, keys, detail::concatenated_steps(x), detail::states_out(x),
                           LinearRecurrence<float>{}, x.length * x.columns, cuda::std::equal_to<>{}, stream),
                       "cub::DeviceScan ByKey");
  }
};

/// thrust::inclusive_scan on the stream. As CudaDeviceScan, but it allocates
/// for itself, so a graph cannot capture it.
struct CudaThrustScan {
  static constexpr std::string_view name = "thrust::inclusive_scan";
  static std::size_t workspace_bytes(const CudaLinearScan&) { return 0; }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void*, std::size_t) {
    const auto steps = detail::concatenated_steps(x);
    thrust::inclusive_scan(thrust::cuda::par_nosync.on(stream), steps, steps + x.length * x.columns,
                           detail::states_out(x), LinearRecurrence<float>{});
  }
};

/// One pass with decoupled look-back (cub::ScanTileState), reading a and b
/// where they are: nothing is materialised. Work 2L. Not deterministic.
struct CudaLookBack {
  static constexpr std::string_view name = "fused look-back";
  static std::size_t workspace_bytes(const CudaLinearScan& x) {
    std::size_t bytes = 0;
    detail::check_cuda(detail::LookBackTiles::AllocationSize(tiles(x), bytes), "CudaLookBack");
    return bytes;
  }
  static void run(cudaStream_t stream, const CudaLinearScan& x, void* workspace, std::size_t bytes) {
    detail::LookBackTiles state;
    detail::check_cuda(state.Init(tiles(x), workspace, bytes), "CudaLookBack");
    const auto count = static_cast<unsigned>(tiles(x));
    detail::look_back_init_kernel<><<<(count + 127) / 128, 128, 0, stream>>>(state, static_cast<int>(count));
    detail::look_back_kernel<><<<count, detail::block_scan_threads, 0, stream>>>(x, state);
  }

 private:
  static int tiles(const CudaLinearScan& x) {
    return static_cast<int>(
        detail::blocks_for(x.length * x.columns, detail::block_scan_threads * detail::block_scan_items));
  }
};

/// Scans the recurrences by the algorithm `Policy`. `workspace` holds
/// Policy::workspace_bytes(x) bytes. Asynchronous on `stream`. Throws
/// ShapeError where a launch cannot hold the shape, Error where it fails.
template <class Policy>
void cuda_linear_scan(Policy, cudaStream_t stream, const CudaLinearScan& x, void* workspace,
                      std::size_t workspace_bytes) {
  if (x.length == 0 || x.columns == 0) return;
  if (x.exclusive) {
    detail::exclusive_head_kernel<><<<detail::blocks_for(x.columns, 128), 128, 0, stream>>>(x);
  }
  Policy::run(stream, x, workspace, workspace_bytes);
  detail::check_cuda(cudaGetLastError(), Policy::name.data());
}

/// f(policy) for every GPU algorithm of the menu.
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
