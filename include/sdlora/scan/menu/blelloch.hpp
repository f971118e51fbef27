#pragma once

#include "policy.hpp"

#include <bit>
#include <utility>

namespace sdlora {

/// Up-sweep of partial sums over a binary tree, then a down-sweep of prefixes.
/// Work 2L, depth 2 log₂ L. Stability: good, errors grow with log L. Lengths are padded with the
/// identity to a power of two. On one core it is a baseline to teach with: each level is a pass
/// over memory.
/// Source: Blelloch, "Prefix sums and their applications", 1990, §1.2.
struct Blelloch {
  static constexpr std::string_view name = "blelloch";

  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace& workspace) {
    const std::size_t length = values.size();
    if (length < 2) return;
    const std::size_t padded = std::bit_ceil(length);
    detail::Scratch<typename Op::value_type> scratch(workspace, padded);
    const auto tree = scratch.values();
    for (std::size_t i = 0; i < length; ++i) tree[i] = values[i];
    for (std::size_t i = length; i < padded; ++i) tree[i] = op.identity();
    for (std::size_t d = 1; d < padded; d *= 2) {
      for (std::size_t i = 2 * d - 1; i < padded; i += 2 * d) tree[i] = op(tree[i - d], tree[i]);
    }
    tree[padded - 1] = op.identity();
    for (std::size_t d = padded / 2; d > 0; d /= 2) {
      for (std::size_t i = 2 * d - 1; i < padded; i += 2 * d) {
        auto left = std::exchange(tree[i - d], tree[i]);
        tree[i] = op(tree[i], left);  // what comes before the node, then the node's left half
      }
    }
    // The tree now holds the exclusive scan; its neighbour to the right is the inclusive one.
    values[length - 1] = op(tree[length - 1], values[length - 1]);
    for (std::size_t i = 0; i + 1 < length; ++i) values[i] = tree[i + 1];
  }
};

static_assert(ScanPolicy<Blelloch> && ElementScan<Blelloch>);

}  // namespace sdlora
