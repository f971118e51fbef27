#pragma once

#include "collectives.hpp"

#include <cstdint>

// What CUB's collectives do, written with a block policy alone: threads exchange values in memory of the
// device, and one of them composes.

namespace sdlora::detail {

/// A warp's collectives. `slots` are the block's, one for each of its threads.
template <class V, class Block>
struct PlainWarp {
  Block& block;
  V* slots;

  template <class Op>
  constexpr V inclusive_scan(const V& value, const Op& op) {
    slots[block.thread()] = value;
    block.sync_warp();
    const int lane = block.thread() % 32;
    V result = slots[block.thread() - lane];
    for (int i = 1; i <= lane; ++i) result = op(result, slots[block.thread() - lane + i]);
    block.sync_warp();
    return result;
  }
  constexpr V last(const V& value) {
    slots[block.thread()] = value;
    block.sync_warp();
    const V result = slots[block.thread() / 32 * 32 + 31];
    block.sync_warp();
    return result;
  }
};

/// A block's. `slots` has block_scan_tile values; `before` is the composition of all tiles before.
template <class V, class Block>
struct PlainBlock {
  Block& block;
  V* slots;
  V before;

  template <class Op>
  constexpr void scan(V (&values)[block_scan_items], const Op& op) {
    V* const mine = slots + block.thread() * block_scan_items;
    unroll<block_scan_items>([&](auto i) { mine[i] = values[i]; });
    block.sync();
    if (block.thread() == 0) {
      for (int i = 0; i < block_scan_tile; ++i) slots[i] = before = op(before, slots[i]);
    }
    block.sync();
    unroll<block_scan_items>([&](auto i) { values[i] = mine[i]; });
    before = slots[block_scan_tile - 1];
    block.sync();
  }
  constexpr void next() { block.sync(); }
};

/// One block per column, tile after tile; each block has its own slots.
template <ScanProblem Problem>
struct PlainBlockScanKernel {
  using V = typename Problem::value_type;
  static constexpr int threads = block_scan_threads;
  static constexpr int resident_blocks = 1;
  struct Arguments {
    Problem x;
    V* slots;  // (columns, block_scan_tile)
  };

  template <class Block>
  static constexpr void run(Block& block, const Arguments& in) {
    PlainBlock<V, Block> collectives{block, in.slots + block.index() * block_scan_tile, in.x.op().identity()};
    scan_column_by_block(in.x, block.index(), block.thread(), collectives);
  }
};

}  // namespace sdlora::detail
