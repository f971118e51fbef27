#pragma once

#include "policy.hpp"

#include <algorithm>

namespace sdlora {

/// Every element takes in the one d places before it, for d = 1, 2, 4, …, from one buffer into another.
/// Work L log₂ L, depth log₂ L. Stability: good, errors grow with log L.
/// Source: Hillis and Steele, "Data parallel algorithms", CACM 29(12), 1986.
struct HillisSteele {
  static constexpr std::string_view name = "hillis_steele";

  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace& workspace) {
    const std::size_t length = values.size();
    if (length < 2) return;
    detail::Scratch<typename Op::value_type> scratch(workspace, length);
    auto from = values;
    auto to = scratch.values();
    for (std::size_t d = 1; d < length; d *= 2) {
      std::copy(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(d), to.begin());
      for (std::size_t i = d; i < length; ++i) to[i] = op(from[i - d], from[i]);
      std::swap(from, to);
    }
    if (from.data() != values.data()) std::copy(from.begin(), from.end(), values.begin());
  }
};

static_assert(ScanPolicy<HillisSteele> && ElementScan<HillisSteele>);

}  // namespace sdlora
