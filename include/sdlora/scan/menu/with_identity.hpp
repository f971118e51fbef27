#pragma once

#include "operator.hpp"

#include <algorithm>
#include <concepts>
#include <functional>
#include <limits>
#include <type_traits>
#include <utility>

namespace sdlora {

/// An AssociativeOperator of a function of two values, as a lambda, and the identity that it has.
template <class V, class Function>
struct WithIdentity {
  using value_type = V;
  Function function;
  V value;

  constexpr V operator()(const V& first, const V& second) const {
    return static_cast<V>(function(first, second));
  }
  constexpr V identity() const { return value; }
};

/// Names the identity of a function of two values, so that it can be scanned. The type of the identity is
/// that of the values: with_identity([](float a, float b) { return std::hypot(a, b); }, 0.0F). The function
/// is associative; its first argument comes first in scan order.
template <class Function, class V>
constexpr auto with_identity(Function function, V identity) {
  static_assert(std::is_invocable_r_v<V, const Function&, const V&, const V&>,
                "sdlora::with_identity: the function is called with two values of the identity's type and "
                "returns one");
  return WithIdentity<V, Function>{std::move(function), std::move(identity)};
}

/// The larger (smaller) of two values, the first where they are equal; one that is no number stays. Of
/// numbers the identity is known.
struct Maximum {
  template <class V>
  constexpr V operator()(const V& first, const V& second) const {
    return first < second || second != second ? second : first;
  }
};
struct Minimum {
  template <class V>
  constexpr V operator()(const V& first, const V& second) const {
    return second < first || second != second ? second : first;
  }
};

namespace detail {

/// The identity that a function is known to have over V: specialised with a static value().
template <class Function, class V>
struct KnownIdentity {};

/// Whether a functor of the standard library, as std::plus<X>, is one over V.
template <class X, class V>
concept FunctorOver = std::is_void_v<X> || std::same_as<X, V>;
template <class V>
concept Number = std::constructible_from<V, int> && std::equality_comparable<V>;
template <class V>
concept Limited = std::numeric_limits<V>::is_specialized;

template <class X, Number V>
  requires FunctorOver<X, V>
struct KnownIdentity<std::plus<X>, V> {
  static constexpr V value() { return V(0); }
};
template <class X, Number V>
  requires FunctorOver<X, V>
struct KnownIdentity<std::multiplies<X>, V> {
  static constexpr V value() { return V(1); }
};
// sdlora::Maximum in full: detail has one of the tensors', too.
template <Limited V>
struct KnownIdentity<sdlora::Maximum, V> {
  static constexpr V value() {
    using Limits = std::numeric_limits<V>;
    if constexpr (Limits::has_infinity) return -Limits::infinity();
    return Limits::lowest();
  }
};
template <Limited V>
struct KnownIdentity<sdlora::Minimum, V> {
  static constexpr V value() {
    using Limits = std::numeric_limits<V>;
    if constexpr (Limits::has_infinity) return Limits::infinity();
    return Limits::max();
  }
};
template <class V>
struct KnownIdentity<std::remove_cvref_t<decltype(std::ranges::max)>, V> : KnownIdentity<sdlora::Maximum, V> {
};
template <class V>
struct KnownIdentity<std::remove_cvref_t<decltype(std::ranges::min)>, V> : KnownIdentity<sdlora::Minimum, V> {
};

}  // namespace detail

/// A function that lacks an identity by itself, but is known to have one over V: std::plus, std::multiplies,
/// Maximum, Minimum, std::ranges::max and std::ranges::min of numbers.
template <class Function, class V>
concept HasKnownIdentity = std::is_invocable_r_v<V, const Function&, const V&, const V&> &&
                           requires { detail::KnownIdentity<Function, V>::value(); };

/// The operator that a scan of V values goes by where it is given `op`: an AssociativeOperator itself, or a
/// function with the identity that it is known to have.
template <class V, class Op>
  requires AssociativeOperator<Op> || HasKnownIdentity<Op, V>
constexpr auto operator_of(const Op& op) {
  if constexpr (AssociativeOperator<Op>) {
    return op;
  } else {
    return WithIdentity<V, Op>{op, detail::KnownIdentity<Op, V>::value()};
  }
}

static_assert(AssociativeOperator<WithIdentity<float, Maximum>>);
static_assert(HasKnownIdentity<std::plus<>, float> && !HasKnownIdentity<std::minus<>, float>);

}  // namespace sdlora
