#pragma once

#include "../../scan_problem.hpp"

#include <cstdint>
#include <cub/agent/single_pass_scan_operators.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/util_ptx.cuh>
#include <cub/warp/warp_scan.cuh>

namespace sdlora::detail {

/// Warps of a block that each scan a column.
inline constexpr int warp_scan_warps = 4;

template <class Problem>
__global__ void __launch_bounds__(warp_scan_warps * 32) warp_scan_kernel(const Problem x) {
  using V = typename Problem::value_type;
  using Scan = cub::WarpScan<V>;
  __shared__ typename Scan::TempStorage storage[warp_scan_warps];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * warp_scan_warps + warp;
  if (c >= x.columns) return;
  const auto op = x.op();
  V running = op.identity();
  for (std::int64_t begin = 0; begin < x.length; begin += 32) {
    const std::int64_t t = begin + lane;
    V value = op.identity();
    if (t < x.length) value = t > 0 ? x.step(t, c) : x.first(c);
    Scan(storage[warp]).InclusiveScan(value, value, op);
    const V result = op(running, value);
    if (t < x.length) x.store(t, c, result);
    running = cub::ShuffleIndex<32>(result, 31, 0xffff'ffffU);
    __syncwarp();
  }
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

inline constexpr int block_scan_threads = 128;
inline constexpr int block_scan_items = 8;
inline constexpr int block_scan_tile = block_scan_threads * block_scan_items;

template <cub::BlockScanAlgorithm Algorithm, class Problem>
__global__ void __launch_bounds__(block_scan_threads) block_scan_kernel(const Problem x) {
  using V = typename Problem::value_type;
  using Op = typename Problem::operator_type;
  using Scan = cub::BlockScan<V, block_scan_threads, Algorithm>;
  __shared__ typename Scan::TempStorage storage;
  const std::int64_t c = blockIdx.x;
  const Op op = x.op();
  RunningPrefix<Op> running{op, op.identity()};
  for (std::int64_t begin = 0; begin < x.length; begin += block_scan_tile) {
    V values[block_scan_items];
    const std::int64_t first = begin + static_cast<std::int64_t>(threadIdx.x) * block_scan_items;
#pragma unroll
    for (int i = 0; i < block_scan_items; ++i) {
      const std::int64_t t = first + i;
      values[i] = t >= x.length ? V(op.identity()) : t > 0 ? x.step(t, c) : x.first(c);
    }
    Scan(storage).InclusiveScan(values, values, op, running);
#pragma unroll
    for (int i = 0; i < block_scan_items; ++i) {
      if (first + i < x.length) x.store(first + i, c, values[i]);
    }
    __syncthreads();
  }
}

template <class V>
using LookBackTiles = cub::ScanTileState<V>;

template <class V>
__global__ void look_back_init_kernel(LookBackTiles<V> tiles, int count) {
  tiles.InitializeStatus(count);
}

/// One pass over all columns one after another: each block scans its tile and looks back for what the tiles
/// before it did.
template <class Problem>
__global__ void __launch_bounds__(block_scan_threads)
    look_back_kernel(const JoinedSteps<Problem> steps, LookBackTiles<typename Problem::value_type> tiles) {
  using V = typename Problem::value_type;
  using Op = decltype(steps.x.joined_op());
  const Op op = steps.x.joined_op();
  using Scan = cub::BlockScan<V, block_scan_threads, cub::BLOCK_SCAN_WARP_SCANS>;
  using Prefix = cub::TilePrefixCallbackOp<V, Op, LookBackTiles<V>>;
  __shared__ union {
    typename Scan::TempStorage scan;
    struct {
      typename Prefix::TempStorage prefix;
      typename Scan::TempStorage scan;
    } later;
  } storage;
  const int tile = static_cast<int>(blockIdx.x);
  const std::int64_t size = steps.size();
  const std::int64_t first = static_cast<std::int64_t>(tile) * block_scan_tile +
                             static_cast<std::int64_t>(threadIdx.x) * block_scan_items;
  V values[block_scan_items];
#pragma unroll
  for (int i = 0; i < block_scan_items; ++i) {
    values[i] = first + i < size ? steps.load(first + i) : V(op.identity());
  }
  if (tile == 0) {
    V aggregate;
    Scan(storage.scan).InclusiveScan(values, values, op, aggregate);
    if (threadIdx.x == 0) tiles.SetInclusive(0, aggregate);
  } else {
    Prefix prefix(tiles, storage.later.prefix, op, tile);
    Scan(storage.later.scan).InclusiveScan(values, values, op, prefix);
  }
#pragma unroll
  for (int i = 0; i < block_scan_items; ++i) {
    if (first + i < size) steps.store(first + i, values[i]);
  }
}

}  // namespace sdlora::detail
