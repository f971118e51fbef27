#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora::detail {

/// The merges of a byte-pair encoding, by the pair that they join.
class BpeMerges {
 public:
  static constexpr std::uint32_t no_merge = std::numeric_limits<std::uint32_t>::max();

  struct Merge {
    std::uint32_t rank = no_merge;
    std::int32_t id = -1;
  };

  explicit BpeMerges(std::size_t count = 0) {
    std::size_t capacity = 16;
    while (capacity < 2 * count) capacity *= 2;
    slots_.resize(capacity);
  }

  /// No more than the count given. The last of several for the same pair counts.
  void add(std::int32_t left, std::int32_t right, Merge merge) {
    Slot& slot = slots_[find(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }

  Merge operator()(std::int32_t left, std::int32_t right) const {
    return slots_[find(key_of(left, right))].merge;
  }

  /// Joins pairs, of lowest rank and then leftmost first, until none is left; n log n.
  void apply(std::vector<std::int32_t>& ids) const {
    if (ids.size() <= 48) {
      apply_to_few(ids);
    } else {
      apply_to_many(ids);
    }
  }

 private:
  static constexpr std::uint64_t no_key = std::numeric_limits<std::uint64_t>::max();
  struct Slot {
    std::uint64_t key = no_key;
    Merge merge = {};
  };

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }

  std::size_t find(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    mixed ^= mixed >> 32;
    std::size_t at = static_cast<std::size_t>(mixed) & mask;
    while (slots_[at].key != key && slots_[at].key != no_key) at = (at + 1) & mask;
    return at;
  }

  void apply_to_few(std::vector<std::int32_t>& ids) const {
    Merge merges[48];
    std::size_t count = ids.size();
    for (std::size_t i = 0; i + 1 < count; ++i) merges[i] = (*this)(ids[i], ids[i + 1]);
    while (count > 1) {
      std::size_t best = 0;
      for (std::size_t i = 1; i + 1 < count; ++i) {
        if (merges[i].rank < merges[best].rank) best = i;
      }
      if (merges[best].rank == no_merge) break;
      ids[best] = merges[best].id;
      const auto at = static_cast<std::ptrdiff_t>(best);
      std::copy(ids.begin() + at + 2, ids.begin() + static_cast<std::ptrdiff_t>(count), ids.begin() + at + 1);
      std::copy(merges + at + 2, merges + count, merges + at + 1);
      --count;
      if (best > 0) merges[best - 1] = (*this)(ids[best - 1], ids[best]);
      if (best + 1 < count) merges[best] = (*this)(ids[best], ids[best + 1]);
    }
    ids.resize(count);
  }

  void apply_to_many(std::vector<std::int32_t>& ids) const {
    struct Symbol {
      std::int32_t id;
      std::uint32_t previous, next;
      Merge merge;  // with the next one
    };
    constexpr std::uint32_t none = no_merge;
    const auto count = static_cast<std::uint32_t>(ids.size());
    std::vector<Symbol> symbols(count);
    std::vector<std::uint64_t> first;  // rank and place
    const auto entry = [](std::uint32_t rank, std::uint32_t at) { return std::uint64_t{rank} << 32 | at; };
    for (std::uint32_t i = 0; i < count; ++i) {
      const bool last = i + 1 == count;
      symbols[i] = {ids[i], i == 0 ? none : i - 1, last ? none : i + 1,
                    last ? Merge{} : (*this)(ids[i], ids[i + 1])};
      if (symbols[i].merge.rank != no_merge) first.push_back(entry(symbols[i].merge.rank, i));
    }
    // Those of the beginning in order, and those that merging makes in a heap of their own, which stays
    // small.
    std::sort(first.begin(), first.end());
    std::size_t taken = 0;
    std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> made;
    const auto next = [&]() -> std::optional<std::uint64_t> {
      std::uint64_t best = 0;
      if (taken < first.size() && (made.empty() || first[taken] < made.top())) {
        best = first[taken++];
      } else if (!made.empty()) {
        best = made.top();
        made.pop();
      } else {
        return std::nullopt;
      }
      return best;
    };
    const auto update = [&](std::uint32_t at) {
      Symbol& symbol = symbols[at];
      symbol.merge = symbol.next == none ? Merge{} : (*this)(symbol.id, symbols[symbol.next].id);
      if (symbol.merge.rank != no_merge) made.push(entry(symbol.merge.rank, at));
    };
    while (const auto best = next()) {
      const auto rank = static_cast<std::uint32_t>(*best >> 32);
      const auto at = static_cast<std::uint32_t>(*best);
      Symbol& symbol = symbols[at];
      if (symbol.merge.rank != rank) continue;  // the pair is no more
      Symbol& joined = symbols[symbol.next];
      symbol.id = symbol.merge.id;
      symbol.next = joined.next;
      joined.merge = {};
      if (symbol.next != none) symbols[symbol.next].previous = at;
      update(at);
      if (symbol.previous != none) update(symbol.previous);
    }
    std::size_t left = 0;
    for (std::uint32_t at = 0; at != none; at = symbols[at].next) ids[left++] = symbols[at].id;
    ids.resize(left);
  }

  std::vector<Slot> slots_;
};

/// Ids by the bytes of their words. The bytes are others' and outlive it.
class WordTable {
 public:
  explicit WordTable(std::size_t count = 0) {
    std::size_t capacity = 16;
    while (capacity < 2 * count) capacity *= 2;
    slots_.resize(capacity);
  }

  /// No more than the count given, each word once.
  void add(std::string_view word, std::int32_t id) { slots_[find(word)] = {word, id}; }

  /// −1 where the word is not in it.
  std::int32_t operator()(std::string_view word) const { return slots_[find(word)].id; }

 private:
  struct Slot {
    std::string_view word = {};
    std::int32_t id = -1;
  };

  static std::uint64_t hash(std::string_view word) {
    constexpr std::uint64_t odd = 0x9E3779B97F4A7C15u;
    std::uint64_t mixed = word.size() * odd;
    const auto mix = [&](std::uint64_t part) {
      mixed = (mixed ^ part) * odd;
      mixed ^= mixed >> 29;
    };
    std::size_t i = 0;
    for (std::uint64_t part = 0; i + 8 <= word.size(); i += 8) {
      std::memcpy(&part, word.data() + i, 8);
      mix(part);
    }
    std::uint64_t part = 0;
    for (; i < word.size(); ++i) part = part << 8 | static_cast<unsigned char>(word[i]);
    mix(part);
    return mixed ^ mixed >> 32;
  }

  std::size_t find(std::string_view word) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = static_cast<std::size_t>(hash(word)) & mask;
    while (slots_[at].id >= 0 && slots_[at].word != word) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

}  // namespace sdlora::detail
