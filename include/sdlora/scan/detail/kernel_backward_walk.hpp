#pragma once

#include "kernel_arguments.hpp"

namespace sdlora::detail {

/// The order in which a backward visits the chunks of a segment. Between two checkpoints states are
/// not kept, so each range from a checkpoint on is walked twice: forward over all chunks but the last
/// ("light" items, which only find the states that chunks begin with), then backward over all. Ranges
/// come last first.
template <int Chunk>
struct BackwardWalk {
  struct Item {
    Position base;  // first step of the checkpoint's range
    int sub;        // chunk within it
    bool light;
    bool valid;
  };

  /// The number of chunks in the range that begins at `base`.
  static constexpr int chunks_at(Position base, Position end, int interval) {
    const Position length = end - base < interval ? end - base : interval;
    return static_cast<int>((length + Chunk - 1) / Chunk);
  }
  static constexpr Item first_item(Position base, Position end, int interval) {
    const int count = chunks_at(base, end, interval);
    return {base, 0, count > 1, true};
  }
  static constexpr Item next_item(const Item& item, Position begin, Position end, int interval) {
    Item next = item;
    if (item.light) {
      next.light = item.sub + 2 < chunks_at(item.base, end, interval);
      ++next.sub;
    } else if (item.sub > 0) {
      --next.sub;
    } else if (item.base > begin) {
      next = first_item(item.base - interval, end, interval);
    } else {
      next.valid = false;
    }
    return next;
  }
};

}  // namespace sdlora::detail
