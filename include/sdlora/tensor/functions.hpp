#pragma once

#include "detail/operations.hpp"
#include "expression.hpp"
#include "instruction_set.hpp"

#include <utility>

// The operators and functions of element-wise expressions. Arguments are tensors, views, expressions
// and numbers, at least one not a number; numbers take the type of the tensors.

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// Sums, differences, products and quotients, element by element.
/// @{
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator+(A&& a, B&& b) {
  return detail::make_map<detail::Add>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator-(A&& a, B&& b) {
  return detail::make_map<detail::Subtract>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator*(A&& a, B&& b) {
  return detail::make_map<detail::Multiply>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator/(A&& a, B&& b) {
  return detail::make_map<detail::Divide>(std::forward<A>(a), std::forward<B>(b));
}
template <detail::Operand A>
constexpr auto operator-(A&& a) {
  return detail::make_map<detail::Negate>(std::forward<A>(a));
}
/// @}

/// Comparisons give masks, which only `select` takes.
/// @{
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator<(A&& a, B&& b) {
  return detail::make_map<detail::Less>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator<=(A&& a, B&& b) {
  return detail::make_map<detail::LessEqual>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator>(A&& a, B&& b) {
  return detail::make_map<detail::Less>(std::forward<B>(b), std::forward<A>(a));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator>=(A&& a, B&& b) {
  return detail::make_map<detail::LessEqual>(std::forward<B>(b), std::forward<A>(a));
}
/// @}

/// `yes` where the condition (a comparison) holds, else `no`; either may be a number. Both are computed
/// everywhere.
template <detail::Mask Condition, class A, class B>
  requires(detail::Operand<A> || detail::Scalar<A>) && (detail::Operand<B> || detail::Scalar<B>)
constexpr auto select(Condition&& condition, A&& yes, B&& no) {
  return detail::make_map<detail::Select>(std::forward<Condition>(condition), std::forward<A>(yes),
                                          std::forward<B>(no));
}

/// a·b + c with one rounding where the machine has the instruction.
template <class A, class B, class C>
  requires detail::Operands<A, B, C>
constexpr auto fma(A&& a, B&& b, C&& c) {
  return detail::make_map<detail::MultiplyAdd>(std::forward<A>(a), std::forward<B>(b), std::forward<C>(c));
}

/// The larger (smaller) of two, element by element, NaN where either is; of one argument, see reduce.hpp.
/// @{
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto max(A&& a, B&& b) {
  return detail::make_map<detail::Maximum>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto min(A&& a, B&& b) {
  return detail::make_map<detail::Minimum>(std::forward<A>(a), std::forward<B>(b));
}
/// @}

/// |x|.
template <detail::Operand A>
constexpr auto abs(A&& a) {
  return detail::make_map<detail::Absolute>(std::forward<A>(a));
}
/// x².
template <detail::Operand A>
constexpr auto square(A&& a) {
  return detail::make_map<detail::Square>(std::forward<A>(a));
}
/// √x; NaN below 0.
template <detail::Operand A>
constexpr auto sqrt(A&& a) {
  return detail::make_map<detail::SquareRoot>(std::forward<A>(a));
}
/// 1 / √x, not an approximation.
template <detail::Operand A>
constexpr auto rsqrt(A&& a) {
  return detail::make_map<detail::InverseSquareRoot>(std::forward<A>(a));
}
/// e^x.
template <detail::Operand A>
constexpr auto exp(A&& a) {
  return detail::make_map<detail::Exponential>(std::forward<A>(a));
}
/// The natural logarithm.
template <detail::Operand A>
constexpr auto log(A&& a) {
  return detail::make_map<detail::Logarithm>(std::forward<A>(a));
}
/// The hyperbolic tangent.
template <detail::Operand A>
constexpr auto tanh(A&& a) {
  return detail::make_map<detail::HyperbolicTangent>(std::forward<A>(a));
}
/// 1 / (1 + e^−x).
template <detail::Operand A>
constexpr auto sigmoid(A&& a) {
  return detail::make_map<detail::Sigmoid>(std::forward<A>(a));
}
/// x · sigmoid(x).
template <detail::Operand A>
constexpr auto silu(A&& a) {
  return detail::make_map<detail::Silu>(std::forward<A>(a));
}
/// log(1 + e^x).
template <detail::Operand A>
constexpr auto softplus(A&& a) {
  return detail::make_map<detail::Softplus>(std::forward<A>(a));
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
