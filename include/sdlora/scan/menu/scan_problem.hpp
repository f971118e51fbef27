#pragma once

#include "operator.hpp"
#include "policy.hpp"

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace sdlora {

/// What an algorithm for a GPU scans: `columns` sequences of `length` values each under an operator, known by
/// how a value is loaded and a result stored. `first(c)` is the first value of column c with what leads it,
/// `step(t, c)` a later one, and `store(t, c, r)` is given their composition up to t. `store_head(c)` writes
/// what an exclusive scan begins with. A problem whose `store` reads may offer `beside(t, c)`, what it reads,
/// and `store(t, c, r, beside)`. `joined_op()` composes values of all columns one after another: a first
/// value forgets what stands before it. Trivially copyable, so a kernel takes it as an argument.
template <class P>
concept ScanProblem = std::is_trivially_copyable_v<P> && AssociativeOperator<typename P::operator_type> &&
                      requires(const P& x, std::int64_t i, const typename P::value_type& value) {
                        { x.op() } -> std::same_as<typename P::operator_type>;
                        x.joined_op();
                        { x.first(i) } -> std::same_as<typename P::value_type>;
                        { x.step(i, i) } -> std::same_as<typename P::value_type>;
                        x.store(i, i, value);
                        { x.has_head() } -> std::same_as<bool>;
                        x.store_head(i);
                        { std::int64_t{x.length} };
                        { std::int64_t{x.columns} };
                      };

namespace detail {

/// LinearRecurrence for columns one after another: a step with a = 0 forgets the state before it, even one
/// that is no number.
template <class T>
struct RestartingRecurrence {
  using value_type = LinearStep<T>;
  constexpr value_type operator()(const value_type& first, const value_type& second) const {
    return second.a == T(0) ? second : LinearRecurrence<T>{}(first, second);
  }
  static constexpr value_type identity() { return {T(1), T(0)}; }
};

/// Where the values of (L, columns) matrices lie: step t of column c at t·time_stride + c·column_stride.
struct ColumnPlaces {
  std::int64_t length = 0;
  std::int64_t columns = 0;
  std::int64_t time_stride = 1;
  std::int64_t column_stride = 0;

  constexpr std::int64_t at(std::int64_t t, std::int64_t c) const {
    return t * time_stride + c * column_stride;
  }
};

}  // namespace detail

/// Independent linear recurrences h_t = a_t·h_{t−1} + b_t, one per column. (time_stride, column_stride) of
/// (1, L) has time contiguous, (columns, 1) channels; a negative time_stride with pointers to the last step
/// scans in reverse. h may be the memory of a or b in an inclusive scan. Stored as T or, with float states,
/// as BFloat16.
template <class Stored>
struct LinearScanProblem : detail::ColumnPlaces {
  using state_type = recurrence_state_t<Stored>;
  using value_type = LinearStep<state_type>;
  using operator_type = LinearRecurrence<state_type>;

  const Stored* a = nullptr;
  const Stored* b = nullptr;
  Stored* h = nullptr;
  const state_type* initial = nullptr;  ///< (columns), or null for zero
  bool exclusive = false;               ///< h_t is the state before step t

  constexpr operator_type op() const { return {}; }
  constexpr detail::RestartingRecurrence<state_type> joined_op() const { return {}; }
  constexpr value_type first(std::int64_t c) const {
    const value_type step0 = step(0, c);
    return {state_type(0), initial != nullptr ? operator_type::apply(step0, initial[c]) : step0.b};
  }
  constexpr value_type step(std::int64_t t, std::int64_t c) const {
    return {static_cast<state_type>(a[at(t, c)]), static_cast<state_type>(b[at(t, c)])};
  }
  constexpr void store(std::int64_t t, std::int64_t c, const value_type& result) const {
    if (!exclusive) {
      h[at(t, c)] = static_cast<Stored>(result.b);
    } else if (t + 1 < length) {
      h[at(t + 1, c)] = static_cast<Stored>(result.b);
    }
  }
  constexpr bool has_head() const { return exclusive; }
  constexpr void store_head(std::int64_t c) const {
    h[at(0, c)] = static_cast<Stored>(initial != nullptr ? initial[c] : state_type(0));
  }
};

/// The gradients of a LinearScanProblem that is inclusive, as a scan against its direction: its step 0 is
/// that scan's last, where the pointers point, and time_stride has the other sign. With g_t = d_h_t +
/// a_{t+1}·g_{t+1}: d_b = g, d_a_t = g_t·h_{t−1}, d_initial = a_0·g_0. d_b may be the memory of
/// d_h.
template <class Stored>
struct LinearGradientProblem : detail::ColumnPlaces {
  using state_type = recurrence_state_t<Stored>;
  using value_type = LinearStep<state_type>;
  using operator_type = LinearRecurrence<state_type>;

  const Stored* a = nullptr;
  const Stored* h = nullptr;
  const Stored* d_h = nullptr;
  Stored* d_a = nullptr;  ///< or null: not wanted
  Stored* d_b = nullptr;
  const state_type* initial = nullptr;  ///< (columns), or null for zero
  state_type* d_initial = nullptr;      ///< (columns), or null: not wanted

  constexpr operator_type op() const { return {}; }
  constexpr detail::RestartingRecurrence<state_type> joined_op() const { return {}; }
  constexpr value_type first(std::int64_t c) const {
    return {state_type(0), static_cast<state_type>(d_h[at(0, c)])};
  }
  constexpr value_type step(std::int64_t t, std::int64_t c) const {
    return {static_cast<state_type>(a[at(t - 1, c)]), static_cast<state_type>(d_h[at(t, c)])};
  }
  /// h_{t−1}: what `store` reads, for algorithms that load it ahead.
  constexpr state_type beside(std::int64_t t, std::int64_t c) const {
    if (d_a == nullptr) return state_type(0);
    if (t + 1 < length) return static_cast<state_type>(h[at(t + 1, c)]);
    return initial != nullptr ? initial[c] : state_type(0);
  }
  constexpr void store(std::int64_t t, std::int64_t c, const value_type& result, state_type before) const {
    const state_type g = result.b;
    if (d_a != nullptr) d_a[at(t, c)] = static_cast<Stored>(g * before);
    if (t + 1 == length && d_initial != nullptr) d_initial[c] = static_cast<state_type>(a[at(t, c)]) * g;
    d_b[at(t, c)] = static_cast<Stored>(g);
  }
  constexpr void store(std::int64_t t, std::int64_t c, const value_type& result) const {
    store(t, c, result, beside(t, c));
  }
  constexpr bool has_head() const { return false; }
  constexpr void store_head(std::int64_t) const {}
};

/// One sequence of values under any associative operator. `stride` is −1, with pointers to the last value,
/// in a reverse scan. `out` must not overlap `in`.
template <AssociativeOperator Op>
struct ValueScanProblem {
  using value_type = typename Op::value_type;
  using operator_type = Op;
  static constexpr std::int64_t columns = 1;

  Op composition;
  const value_type* in = nullptr;
  value_type* out = nullptr;
  std::int64_t length = 0;
  std::int64_t stride = 1;
  value_type initial{};  ///< left operand of everything, where has_initial
  bool has_initial = false;
  bool exclusive = false;

  constexpr Op op() const { return composition; }
  constexpr Op joined_op() const { return composition; }
  constexpr value_type first(std::int64_t) const {
    return has_initial ? value_type(composition(initial, in[0])) : in[0];
  }
  constexpr value_type step(std::int64_t t, std::int64_t) const { return in[t * stride]; }
  constexpr void store(std::int64_t t, std::int64_t, const value_type& result) const {
    if (!exclusive) {
      out[t * stride] = result;
    } else if (t + 1 < length) {
      out[(t + 1) * stride] = result;
    }
  }
  constexpr bool has_head() const { return exclusive; }
  constexpr void store_head(std::int64_t) const {
    out[0] = has_initial ? initial : value_type(composition.identity());
  }
};

namespace detail {

/// Step i of all columns one after another.
template <ScanProblem Problem>
struct JoinedSteps {
  Problem x;

  struct Place {
    std::int64_t t, c;
  };
  constexpr Place place_of(std::int64_t i) const {
    if (x.columns == 1) return {i, 0};
    // A GPU divides 64-bit numbers by a long routine, shorter ones by a short one.
    const std::int64_t c =
        i >> 32 == 0 && x.length >> 32 == 0
            ? std::int64_t{static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(x.length)}
            : i / x.length;
    return {i - c * x.length, c};
  }
  constexpr std::int64_t size() const { return x.length * x.columns; }
  constexpr typename Problem::value_type load(std::int64_t i) const {
    const Place place = place_of(i);
    return place.t > 0 ? x.step(place.t, place.c) : x.first(place.c);
  }
  constexpr void store(std::int64_t i, const typename Problem::value_type& result) const {
    const Place place = place_of(i);
    x.store(place.t, place.c, result);
  }
};

}  // namespace detail

}  // namespace sdlora
