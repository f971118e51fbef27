#pragma once

#include "../../../tensor/device.hpp"
#include "../../../tensor/matrix_view.hpp"
#include "../options.hpp"
#include "../policy.hpp"
#include "../with_identity.hpp"

#include <concepts>
#include <ranges>
#include <type_traits>

// What a call of scan is told at compile time where its arguments do not fit: one sentence, whatever they
// are.

namespace sdlora::detail {

/// As the operator of a call: none was given.
struct NoOperator {};

template <class X>
inline constexpr bool is_scan_options = false;
template <class V>
inline constexpr bool is_scan_options<ScanOptions<V>> = true;
template <class T, class D>
inline constexpr bool is_scan_options<LinearScanOptions<T, D>> = true;
template <class X>
concept OptionsOfScan = is_scan_options<std::remove_cvref_t<X>>;

/// A sequence of values in memory, one after another.
template <class X>
concept ValueRange = std::ranges::contiguous_range<X> && std::ranges::sized_range<X>;

/// A matrix or tensor in the memory of a device that runs kernels: for the calls of that device.
template <class X>
concept InDeviceMemory = requires { requires !is_host<typename std::remove_cvref_t<X>::device_type>; };

template <class X>
inline constexpr bool is_host_matrix = false;
template <class T>
inline constexpr bool is_host_matrix<MatrixView<T>> = true;

/// Whether these are the matrices of a linear recurrence in the host's memory.
template <class A, class B, class H>
constexpr bool matrices_fit() {
  using View = std::remove_cvref_t<H>;
  if constexpr (is_host_matrix<View>) {
    using Read = MatrixView<const typename View::value_type>;
    return std::is_convertible_v<A, Read> && std::is_convertible_v<B, Read>;
  } else {
    return false;
  }
}

/// Whether V values are scanned under `Op`; if not, says why.
template <class V, class Op>
constexpr bool require_operator() {
  if constexpr (std::same_as<Op, NoOperator>) {
    static_assert(
        HasDefaultOperator<V>,
        "sdlora::scan: only LinearStep values have an operator of their own; pass one for others, behind the "
        "options: scan(policy, in, out, {}, std::plus<>{})");
    return HasDefaultOperator<V>;
  } else if constexpr (AssociativeOperator<Op>) {
    static_assert(
        std::same_as<typename Op::value_type, V>,
        "sdlora::scan: the operator is one of values of another type than in and out hold; its value_type, "
        "or the identity that with_identity is given, must be of their type");
    return std::same_as<typename Op::value_type, V>;
  } else {
    static_assert(
        HasKnownIdentity<Op, V>,
        "sdlora::scan: the operator has no identity that is known over these values; name it, as in "
        "with_identity(op, 0.0F), or write a type with value_type, operator()(first, second) and "
        "identity(); std::plus, std::multiplies, Maximum and Minimum need none");
    return HasKnownIdentity<Op, V>;
  }
}

/// The operator of a call that `require_operator` lets pass.
template <class V, class Op>
constexpr auto operator_of_call(const Op& op) {
  if constexpr (std::same_as<Op, NoOperator>) {
    return default_operator_t<V>{};
  } else {
    return operator_of<V>(op);
  }
}

/// Whether a scan of `In` into `Out` under `Op` compiles; if not, says why.
template <class Policy, class In, class Out, class Op>
constexpr bool require_element_scan() {
  using V = std::ranges::range_value_t<Out>;
  if constexpr (!ScanPolicy<Policy>) {
    static_assert(
        ScanPolicy<Policy>,
        "sdlora::scan: the first argument is the algorithm, as Sequential{} or KoggeStone<>{}; this type is "
        "none (see ScanPolicy)");
  } else if constexpr (!ElementScan<Policy>) {
    static_assert(
        ElementScan<Policy>,
        "sdlora::scan: this policy solves linear recurrences over columns only; pass matrices a, b and h, or "
        "choose a policy for any operator: Sequential, Chunked, Blelloch, HillisSteele, KoggeStone, "
        "Sklansky");
  } else if constexpr (!std::same_as<std::ranges::range_value_t<In>, V>) {
    static_assert(std::same_as<std::ranges::range_value_t<In>, V>,
                  "sdlora::scan: in and out hold values of two types; convert one of them");
  } else if constexpr (!std::is_assignable_v<std::ranges::range_reference_t<Out>, V>) {
    static_assert(std::is_assignable_v<std::ranges::range_reference_t<Out>, V>,
                  "sdlora::scan: out cannot be written; pass values that are not const");
  } else {
    return require_operator<V, Op>();
  }
  return false;
}

/// Says why these are not the matrices of a linear recurrence.
template <class Policy, class A, class B, class H>
constexpr void refuse_matrices() {
  if constexpr (ValueRange<A> && ValueRange<B> && !matrices_fit<A, B, H>()) {
    static_assert(
        OptionsOfScan<H>,
        "sdlora::scan: behind in and out come the options, then the operator: scan(policy, in, out, {}, op); "
        "a linear recurrence takes three matrices");
  } else if constexpr (is_host_matrix<std::remove_cvref_t<A>> && is_host_matrix<std::remove_cvref_t<B>> &&
                       is_host_matrix<std::remove_cvref_t<H>> && !matrices_fit<A, B, H>()) {
    static_assert(matrices_fit<A, B, H>(),
                  "sdlora::scan: a, b and h hold values of more than one type; convert them to that of h");
  } else if constexpr (!matrices_fit<A, B, H>()) {
    static_assert(
        matrices_fit<A, B, H>(),
        "sdlora::scan: a, b and h are MatrixViews (L, columns) in the host's memory; of a Tensor pass "
        "x.matrix(), of an Eigen matrix, with rows one after another (RowMajor), MatrixView(x.data(), "
        "rows, columns)");
  } else {
    static_assert(
        ScanPolicy<Policy>,
        "sdlora::scan: the first argument is the algorithm, as SimdChannels{} or Sequential{}; this type is "
        "none on the host (see ScanPolicy)");
  }
}

}  // namespace sdlora::detail
