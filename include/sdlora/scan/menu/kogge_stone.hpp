#pragma once

#include "policy.hpp"

#include <algorithm>

namespace sdlora {

/// The minimum-depth network as a warp runs it: tiles of `Width` elements are scanned in place with
/// distances 1, 2, 4, …; the last element of a tile is carried into the next tile.
/// Work L (log₂ Width + 1), depth log₂ Width per tile and L / Width carries. Stability: good.
/// Source: Kogge and Stone, "A parallel algorithm for the efficient solution of a general class of
/// recurrence equations", IEEE Trans. Computers C-22(8), 1973.
template <std::size_t Width = 32>
struct KoggeStone {
  static_assert(Width >= 2 && (Width & (Width - 1)) == 0,
                "sdlora::KoggeStone: Width must be a power of two, at least 2");
  static constexpr std::string_view name = "kogge_stone";

  template <AssociativeOperator Op>
  static constexpr void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace&) {
    for (std::size_t first = 0; first < values.size(); first += Width) {
      const auto tile = values.subspan(first, std::min(Width, values.size() - first));
      for (std::size_t d = 1; d < tile.size(); d *= 2) {
        for (std::size_t i = tile.size() - 1; i >= d; --i) tile[i] = op(tile[i - d], tile[i]);
      }
      if (first == 0) continue;
      const auto carry = values[first - 1];
      for (auto& value : tile) value = op(carry, value);
    }
  }
};

static_assert(ScanPolicy<KoggeStone<>> && ElementScan<KoggeStone<>>);

}  // namespace sdlora
