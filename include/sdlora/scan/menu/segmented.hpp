#pragma once

#include "operator.hpp"

#include <type_traits>

namespace sdlora {

/// A value that says whether a segment begins with it (in scan order).
template <class V>
struct SegmentedValue {
  V value{};
  bool starts = false;

  friend constexpr bool operator==(const SegmentedValue&, const SegmentedValue&) = default;
};

/// Makes any operator restart at segment heads, so that every algorithm of the menu also scans
/// packed sequences: (v1, s1) ∘ (v2, s2) = (s2 ? v2 : v1 ∘ v2, s1 or s2). Associative, not commutative.
/// In a reverse scan the head of a segment is its last element.
/// Source: Blelloch, "Prefix sums and their applications", 1990, §1.5.
template <AssociativeOperator Op>
struct Segmented {
  using value_type = SegmentedValue<typename Op::value_type>;

  [[no_unique_address]] Op inner{};

  constexpr value_type operator()(const value_type& first, const value_type& second) const {
    return {second.starts ? second.value : inner(first.value, second.value), first.starts || second.starts};
  }

  constexpr value_type identity() const { return {inner.identity(), false}; }
};

static_assert(AssociativeOperator<Segmented<LinearRecurrence<float>>>);
static_assert(std::is_trivially_copyable_v<SegmentedValue<LinearStep<float>>>);

}  // namespace sdlora
