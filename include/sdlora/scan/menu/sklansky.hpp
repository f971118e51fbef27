#pragma once

#include "policy.hpp"

#include <algorithm>

namespace sdlora {

/// Divide and conquer: in blocks of 2, 4, 8, …, the last element of the left half goes into every
/// element of the right half.
/// Work (L / 2) log₂ L, depth log₂ L: the least of any network, at the price of a fan-out of L / 2.
/// Stability: good, errors grow with log L. In place.
/// Source: Sklansky, "Conditional-sum addition logic", IRE Trans. Electronic Computers EC-9(2), 1960.
struct Sklansky {
  static constexpr std::string_view name = "sklansky";

  template <AssociativeOperator Op>
  static constexpr void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace&) {
    const std::size_t length = values.size();
    for (std::size_t half = 1; half < length; half *= 2) {
      for (std::size_t middle = half; middle < length; middle += 2 * half) {
        const auto left = values[middle - 1];
        const std::size_t end = std::min(middle + half, length);
        for (std::size_t i = middle; i < end; ++i) values[i] = op(left, values[i]);
      }
    }
  }
};

static_assert(ScanPolicy<Sklansky> && ElementScan<Sklansky>);

}  // namespace sdlora
