#pragma once

#include "../error.hpp"
#include "extents.hpp"

#include <cstddef>
#include <string>
#include <utility>

// The shapes of element-wise expressions. Extents are matched from the last one backwards; a missing
// extent counts as 1, and an extent of 1 is repeated (the rule of NumPy).

namespace sdlora::detail {

template <class E>
constexpr std::size_t aligned_static_extent(std::size_t i, std::size_t rank) {
  const std::size_t missing = rank - E::rank();
  return i < missing ? 1 : E::static_extent(i - missing);
}

template <class E>
constexpr std::size_t aligned_extent(const E& extents, std::size_t i, std::size_t rank) {
  const std::size_t missing = rank - E::rank();
  return i < missing ? 1 : extents.extent(i - missing);
}

/// What the types know of the extent of a result; `dyn` stands for 1 or anything else.
constexpr std::size_t broadcast_static(std::size_t a, std::size_t b) {
  if (a == 1) return b;
  if (b == 1) return a;
  return a == dyn ? b : a;
}
constexpr bool may_broadcast(std::size_t a, std::size_t b) {
  return a == dyn || b == dyn || a == b || a == 1 || b == 1;
}

constexpr std::size_t larger_rank(std::size_t a, std::size_t b) { return a > b ? a : b; }

template <class A, class B>
constexpr bool extents_may_broadcast() {
  constexpr std::size_t rank = larger_rank(A::rank(), B::rank());
  for (std::size_t i = 0; i < rank; ++i) {
    if (!may_broadcast(aligned_static_extent<A>(i, rank), aligned_static_extent<B>(i, rank))) return false;
  }
  return true;
}

/// The static shape of `Operation` on a Left and a Right. The names of the parameters appear in the
/// compiler's note beside the sentence.
template <class Operation, class Left, class Right,
          class Indices = std::make_index_sequence<larger_rank(Left::rank(), Right::rank())>>
struct OperandsMustBroadcast;

template <class Operation, class Left, class Right, std::size_t... I>
struct OperandsMustBroadcast<Operation, Left, Right, std::index_sequence<I...>> {
  static_assert(
      extents_may_broadcast<Left, Right>(),
      "sdlora: the operands of an element-wise expression have extents that do not broadcast. "
      "OperandsMustBroadcast<Operation, Left, Right> names the expression and both extents: counted "
      "from the last, each pair must be equal or one of them 1; reshape or reduce one operand");
  using type = Extents<broadcast_static(aligned_static_extent<Left>(I, sizeof...(I)),
                                        aligned_static_extent<Right>(I, sizeof...(I)))...>;
};

[[noreturn]] inline void throw_operands_do_not_broadcast(const char* operation, const std::string& left,
                                                         const std::string& right) {
  throw ShapeError(std::string(operation) + ": operands of extents " + left + " and " + right +
                   " do not broadcast; counted from the last, each pair of extents must be equal or one of "
                   "them 1: reshape or reduce one operand");
}

[[noreturn]] inline void throw_destination_does_not_fit(const std::string& destination,
                                                        const std::string& expression) {
  throw ShapeError(
      "assignment of an expression: the destination has extents " + destination + " but the expression has " +
      expression +
      "; counted from the last, each extent of the expression must equal the destination's or be "
      "1: give the destination the shape of the expression, or reshape or reduce the expression");
}

[[noreturn]] inline void throw_destination_has_no_memory(const std::string& destination) {
  throw ShapeError("assignment of an expression: the destination, of extents " + destination +
                   ", has no memory: it was moved from; assign a whole tensor or fill it first");
}

/// The shape of a result from run-time shapes; throws ShapeError where they do not broadcast.
template <class Operation, class Left, class Right>
constexpr auto broadcast(const Left& left, const Right& right) {
  using Result = typename OperandsMustBroadcast<Operation, Left, Right>::type;
  if constexpr (Result::rank_dynamic() == 0 && Left::is_static() && Right::is_static()) {
    return Result{};
  } else {
    constexpr std::size_t rank = Result::rank();
    std::size_t values[rank] = {};
    for (std::size_t i = 0; i < rank; ++i) {
      const std::size_t a = aligned_extent(left, i, rank);
      const std::size_t b = aligned_extent(right, i, rank);
      if (a != b && a != 1 && b != 1) {
        throw_operands_do_not_broadcast(Operation::name, to_string(left), to_string(right));
      }
      values[i] = a == 1 ? b : a;
    }
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return Result(values[I]...);
    }(std::make_index_sequence<rank>{});
  }
}

/// `E` with another last extent.
template <class E, std::size_t Last, class Indices = std::make_index_sequence<E::rank()>>
struct ReplaceLast;
template <class E, std::size_t Last, std::size_t... I>
struct ReplaceLast<E, Last, std::index_sequence<I...>> {
  using type = Extents<(I + 1 == sizeof...(I) ? Last : E::static_extent(I))...>;
  static constexpr type from(const E& extents, std::size_t last) {
    return type((I + 1 == sizeof...(I) ? last : extents.extent(I))...);
  }
};

template <class E>
constexpr std::size_t last_extent(const E& extents) {
  if constexpr (E::rank() == 0) {
    return 1;
  } else {
    return extents.extent(E::rank() - 1);
  }
}
template <class E>
constexpr std::size_t last_static_extent() {
  if constexpr (E::rank() == 0) {
    return 1;
  } else {
    return E::static_extent(E::rank() - 1);
  }
}
/// All extents but the last, joined.
template <class E>
constexpr std::size_t row_count(const E& extents) {
  std::size_t rows = 1;
  for (std::size_t i = 0; i + 1 < E::rank(); ++i) rows *= extents.extent(i);
  return rows;
}

/// Where a row of the result (all extents but the last, joined) begins in an operand. `Leading` is
/// the number of extents before the last one of the result.
template <std::size_t Leading>
class RowMap {
 public:
  /// `row_stride`: elements between successive rows of the operand.
  template <class Operand, class Result>
  constexpr RowMap(const Operand& operand, std::size_t row_stride, const Result& result) {
    std::size_t stride = row_stride;
    bool all = true;
    bool none = true;
    for (std::size_t i = Leading; i-- > 0;) {
      const std::size_t own = aligned_extent(operand, i, Leading + 1);
      extents_[i] = result.extent(i);
      strides_[i] = own == 1 ? 0 : stride;
      all = all && own == extents_[i];
      none = none && own == 1;
      stride *= own;
    }
    simple_ = all || none;
    stride_ = all && !none ? row_stride : 0;
  }

  constexpr std::size_t offset(std::size_t row) const {
    if (simple_) return row * stride_;
    std::size_t result = 0;
    for (std::size_t i = Leading; i-- > 0;) {
      result += row % extents_[i] * strides_[i];
      row /= extents_[i];
    }
    return result;
  }

 private:
  std::size_t stride_ = 0;
  bool simple_ = true;
  std::size_t extents_[Leading] = {};
  std::size_t strides_[Leading] = {};
};

template <>
class RowMap<0> {
 public:
  template <class Operand, class Result>
  constexpr RowMap(const Operand&, std::size_t, const Result&) {}
  constexpr std::size_t offset(std::size_t) const { return 0; }
};

template <>
class RowMap<1> {
 public:
  template <class Operand, class Result>
  constexpr RowMap(const Operand& operand, std::size_t row_stride, const Result&)
      : stride_(aligned_extent(operand, 0, 2) == 1 ? 0 : row_stride) {}
  constexpr std::size_t offset(std::size_t row) const { return row * stride_; }

 private:
  std::size_t stride_;
};

}  // namespace sdlora::detail
