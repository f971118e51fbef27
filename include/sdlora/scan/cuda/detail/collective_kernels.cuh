#pragma once

#include "../../menu/detail/kernels/collectives.hpp"
#include "../../menu/scan_problem.hpp"

#include <cstdint>
#include <cub/agent/single_pass_scan_operators.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/util_ptx.cuh>
#include <cub/warp/warp_scan.cuh>

// The collectives are CUB's. Their members are called from bodies that the host runs, too, with its own; here
// the host's side is never run.

namespace sdlora::detail {

template <class V>
struct CubWarp {
  using Scan = cub::WarpScan<V>;
  typename Scan::TempStorage& storage;

  template <class Op>
  __host__ __device__ V inclusive_scan(V value, [[maybe_unused]] const Op& op) {
#if defined(__CUDA_ARCH__)
    Scan(storage).InclusiveScan(value, value, op);
#endif
    return value;
  }
  __host__ __device__ V last(const V& value) {
#if defined(__CUDA_ARCH__)
    const V result = cub::ShuffleIndex<32>(value, 31, 0xffff'ffffU);
    __syncwarp();
    return result;
#else
    return value;
#endif
  }
};

template <class Problem>
__global__ void __launch_bounds__(warp_scan_warps * 32) warp_scan_kernel(const Problem x) {
  using Warp = CubWarp<typename Problem::value_type>;
  __shared__ typename Warp::Scan::TempStorage storage[warp_scan_warps];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * warp_scan_warps + warp;
  if (c >= x.columns) return;
  Warp collectives{storage[warp]};
  scan_column_by_warp(x, c, static_cast<int>(threadIdx.x) % 32, collectives);
}

/// Hands the composition of everything so far from tile to tile of one column.
template <class Op>
struct RunningPrefix {
  using V = typename Op::value_type;
  Op op;
  V before;
  __device__ V operator()(const V& tile) {
    const V old = before;
    before = op(old, tile);
    return old;
  }
};

template <class Op, cub::BlockScanAlgorithm Algorithm>
struct CubBlock {
  using V = typename Op::value_type;
  using Scan = cub::BlockScan<V, block_scan_threads, Algorithm>;
  typename Scan::TempStorage& storage;
  RunningPrefix<Op> running;

  __host__ __device__ void scan([[maybe_unused]] V (&values)[block_scan_items],
                                [[maybe_unused]] const Op& op) {
#if defined(__CUDA_ARCH__)
    Scan(storage).InclusiveScan(values, values, op, running);
#endif
  }
  __host__ __device__ void next() {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }
};

template <cub::BlockScanAlgorithm Algorithm, class Problem>
__global__ void __launch_bounds__(block_scan_threads) block_scan_kernel(const Problem x) {
  using Op = typename Problem::operator_type;
  using Block = CubBlock<Op, Algorithm>;
  __shared__ typename Block::Scan::TempStorage storage;
  const Op op = x.op();
  Block collectives{storage, {op, op.identity()}};
  scan_column_by_block(x, blockIdx.x, static_cast<int>(threadIdx.x), collectives);
}

template <class V>
using LookBackTiles = cub::ScanTileState<V>;

template <class V>
__global__ void look_back_init_kernel(LookBackTiles<V> tiles, int count) {
  tiles.InitializeStatus(count);
}

/// A block that looks back for what the tiles before its own did.
template <class V, class Op>
struct CubLookBack {
  using Scan = cub::BlockScan<V, block_scan_threads, cub::BLOCK_SCAN_WARP_SCANS>;
  using Prefix = cub::TilePrefixCallbackOp<V, Op, LookBackTiles<V>>;
  union Storage {
    typename Scan::TempStorage scan;
    struct {
      typename Prefix::TempStorage prefix;
      typename Scan::TempStorage scan;
    } later;
  };
  Storage& storage;
  LookBackTiles<V>& tiles;
  int tile;

  __host__ __device__ void scan([[maybe_unused]] V (&values)[block_scan_items],
                                [[maybe_unused]] const Op& op) {
#if defined(__CUDA_ARCH__)
    if (tile == 0) {
      V aggregate;
      Scan(storage.scan).InclusiveScan(values, values, op, aggregate);
      if (threadIdx.x == 0) tiles.SetInclusive(0, aggregate);
    } else {
      Prefix prefix(tiles, storage.later.prefix, op, tile);
      Scan(storage.later.scan).InclusiveScan(values, values, op, prefix);
    }
#endif
  }
};

/// One pass over all columns one after another.
template <class Problem>
__global__ void __launch_bounds__(block_scan_threads)
    look_back_kernel(const JoinedSteps<Problem> steps, LookBackTiles<typename Problem::value_type> tiles) {
  using Block = CubLookBack<typename Problem::value_type, decltype(steps.x.joined_op())>;
  __shared__ typename Block::Storage storage;
  const int tile = static_cast<int>(blockIdx.x);
  Block collectives{storage, tiles, tile};
  scan_joined_tile(steps, tile, static_cast<int>(threadIdx.x), collectives);
}

}  // namespace sdlora::detail
