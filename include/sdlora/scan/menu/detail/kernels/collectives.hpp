#pragma once

#include "../../../detail/kernel_arithmetic.hpp"
#include "../../scan_problem.hpp"

#include <cstdint>

// Scans whose steps are composed by the threads of a warp or a block together. How they do that is a policy:
// CUB's collectives on a GPU, a plain one where the bodies are tested on the host.

namespace sdlora::detail {

/// Warps of a block that each scan a column.
inline constexpr int warp_scan_warps = 4;

/// One column by one warp, 32 steps at a time. `warp.inclusive_scan(value, op)` composes over the lanes so
/// far, `warp.last(value)` is that of the last lane.
template <ScanProblem Problem, class Warp>
constexpr void scan_column_by_warp(const Problem& x, std::int64_t c, int lane, Warp& warp) {
  using V = typename Problem::value_type;
  const auto op = x.op();
  V running = op.identity();
  for (std::int64_t begin = 0; begin < x.length; begin += 32) {
    const std::int64_t t = begin + lane;
    V value = op.identity();
    if (t < x.length) value = t > 0 ? x.step(t, c) : x.first(c);
    const V result = op(running, warp.inclusive_scan(value, op));
    if (t < x.length) x.store(t, c, result);
    running = warp.last(result);
  }
}

inline constexpr int block_scan_threads = 128;
inline constexpr int block_scan_items = 8;
inline constexpr int block_scan_tile = block_scan_threads * block_scan_items;

/// One tile of `size` steps by one block, each thread neighbouring steps. `block.scan(values, op)` composes
/// over the tile and all tiles before it.
template <class V, class Op, class Load, class Store, class Block>
constexpr void compose_tile(std::int64_t tile, std::int64_t size, int thread, const Op& op, const Load& load,
                            const Store& store, Block& block) {
  const std::int64_t first = tile * block_scan_tile + std::int64_t{thread} * block_scan_items;
  V values[block_scan_items];
  unroll<block_scan_items>(
      [&](auto i) { values[i] = first + i < size ? V(load(first + i)) : V(op.identity()); });
  block.scan(values, op);
  unroll<block_scan_items>([&](auto i) {
    if (first + i < size) store(first + i, values[i]);
  });
}

/// One column by one block, tile after tile; `block.next()` lets the next one begin.
template <ScanProblem Problem, class Block>
constexpr void scan_column_by_block(const Problem& x, std::int64_t c, int thread, Block& block) {
  using V = typename Problem::value_type;
  const auto load = [&](std::int64_t t) { return t > 0 ? x.step(t, c) : x.first(c); };
  const auto store = [&](std::int64_t t, const V& result) { x.store(t, c, result); };
  for (std::int64_t tile = 0; tile * block_scan_tile < x.length; ++tile) {
    compose_tile<V>(tile, x.length, thread, x.op(), load, store, block);
    block.next();
  }
}

/// One tile of all columns one after another.
template <ScanProblem Problem, class Block>
constexpr void scan_joined_tile(const JoinedSteps<Problem>& steps, std::int64_t tile, int thread,
                                Block& block) {
  using V = typename Problem::value_type;
  const auto load = [&](std::int64_t i) { return steps.load(i); };
  const auto store = [&](std::int64_t i, const V& result) { steps.store(i, result); };
  compose_tile<V>(tile, steps.size(), thread, steps.x.joined_op(), load, store, block);
}

}  // namespace sdlora::detail
