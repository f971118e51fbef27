#pragma once

#include "../error.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

namespace sdlora {

/// How the M rows of a batch fall into S sequences. Rows of all sequences lie one after another
/// without padding ("packed"); sequence s owns rows [offsets[s], offsets[s + 1]).
/// Row-wise layers ignore it; the convolution and the scan restart at every boundary.
struct Sequences {
  std::span<const std::size_t> offsets;  // S + 1 ascending values, the first 0

  constexpr std::size_t count() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  constexpr std::size_t rows() const { return offsets.empty() ? 0 : offsets.back(); }
  constexpr std::size_t first(std::size_t s) const { return offsets[s]; }
  constexpr std::size_t length(std::size_t s) const { return offsets[s + 1] - offsets[s]; }
};

namespace detail {

/// Throws ShapeError unless `sequences` is absent or covers exactly `rows`.
inline void check_sequences(const char* where, const Sequences& sequences, std::size_t rows) {
  const auto offsets = sequences.offsets;
  if (offsets.empty()) return;
  const auto refuse = [&](const std::string& found) {
    throw ShapeError(std::string(where) + ": sequences must be ascending offsets from 0 to " +
                     std::to_string(rows) + " (the rows given) but " + found +
                     "; pass those of these very rows");
  };
  if (offsets.front() != 0 || offsets.back() != rows) {
    refuse("run from " + std::to_string(offsets.front()) + " to " + std::to_string(offsets.back()));
  }
  const auto lower = std::is_sorted_until(offsets.begin(), offsets.end());
  if (lower != offsets.end()) {
    refuse("fall from " + std::to_string(*(lower - 1)) + " to " + std::to_string(*lower) + " at sequence " +
           std::to_string(lower - offsets.begin() - 1));
  }
}

}  // namespace detail

}  // namespace sdlora
