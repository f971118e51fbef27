#pragma once

#include "../../version.hpp"

#include <concepts>
#include <type_traits>

namespace sdlora {

/// One step of a linear recurrence: h ↦ a·h + b. The default is the step that changes nothing.
template <class T>
struct LinearStep {
  T a{1};
  T b{0};

  friend constexpr bool operator==(const LinearStep&, const LinearStep&) = default;
};

/// What a scan needs of an operator: a value type, an associative call whose *left* operand comes
/// first in scan order, and a two-sided identity. It need not commute, and no algorithm here
/// assumes that it does.
template <class Op>
concept AssociativeOperator =
    std::copy_constructible<Op> && std::semiregular<typename Op::value_type> &&
    requires(const Op& op, const typename Op::value_type& first, const typename Op::value_type& second) {
      { op(first, second) } -> std::convertible_to<typename Op::value_type>;
      { op.identity() } -> std::convertible_to<typename Op::value_type>;
    };

/// Composition of steps, the first operand applied first:
/// (a1, b1) ∘ (a2, b2) = (a2·a1, a2·b1 + b2). Associative, not commutative.
/// Source: Blelloch, "Prefix sums and their applications", 1990, §1.4.
template <class T>
struct LinearRecurrence {
  using value_type = LinearStep<T>;

  constexpr value_type operator()(const value_type& first, const value_type& second) const {
    return {second.a * first.a, second.a * first.b + second.b};
  }

  static constexpr value_type identity() { return {T(1), T(0)}; }

  /// The state after `step`.
  static constexpr T apply(const value_type& step, const T& state) { return step.a * state + step.b; }
};

namespace detail {
template <class V>
struct DefaultOperator;
template <class T>
struct DefaultOperator<LinearStep<T>> {
  using type = LinearRecurrence<T>;
};
}  // namespace detail

/// The operator that a call takes where none is given: LinearRecurrence for LinearStep values.
template <class V>
using default_operator_t = typename detail::DefaultOperator<V>::type;

template <class V>
concept HasDefaultOperator = requires { typename default_operator_t<V>; };

static_assert(AssociativeOperator<LinearRecurrence<float>>);
static_assert(std::is_trivially_copyable_v<LinearStep<double>>);
static_assert(std::is_empty_v<LinearRecurrence<float>>);

}  // namespace sdlora
