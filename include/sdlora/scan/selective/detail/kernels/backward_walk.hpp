#pragma once

namespace sdlora::detail {

/// The order in which a backward visits the chunks of a segment. Between two checkpoints states are
/// not kept, so each range from a checkpoint on is walked twice: forward over all chunks but the last
/// ("light" items, which only find the states that chunks begin with), then backward over all. Ranges
/// come last first.
class BackwardWalk {
 public:
  struct Item {
    int chunk;  // of the segment; -1 behind the last item
    bool light;

    constexpr bool valid() const { return chunk >= 0; }
  };

  /// `chunks` of a segment, of which `range` make a range: a power of two.
  constexpr BackwardWalk(int chunks, int range) : last_(chunks - 1), mask_(range - 1) {}

  constexpr Item first() const {
    if (last_ < 0) return {-1, false};
    const int chunk = last_ & ~mask_;
    return {chunk, chunk < last_};
  }
  constexpr Item after(const Item& item) const {
    if (item.light) return {item.chunk + 1, item.chunk + 1 < last_of_range(item)};
    if (!begins_range(item)) return {item.chunk - 1, false};
    if (item.chunk == 0) return {-1, false};
    return {item.chunk - 1 - mask_, mask_ > 0};
  }
  /// The chunk among those of its range.
  constexpr int place(const Item& item) const { return item.chunk & mask_; }
  constexpr bool begins_range(const Item& item) const { return place(item) == 0; }
  constexpr bool ends_range(const Item& item) const { return item.chunk == last_of_range(item); }

 private:
  constexpr int last_of_range(const Item& item) const {
    const int last = item.chunk | mask_;
    return last < last_ ? last : last_;
  }

  int last_;
  int mask_;
};

}  // namespace sdlora::detail
