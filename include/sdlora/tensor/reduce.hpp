#pragma once

#include "expression.hpp"
#include "functions.hpp"
#include "simd.hpp"

#include <cstddef>
#include <limits>
#include <utility>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

struct SumOver {
  static constexpr std::size_t cost = 1;
  template <class T>
  static constexpr T start() {
    return T(0);
  }
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a + b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return a + b;
  }
  template <class T>
  static constexpr T finish(T total, std::size_t) {
    return total;
  }
};

struct MeanOver : SumOver {
  template <class T>
  static constexpr T finish(T total, std::size_t count) {
    return total / static_cast<T>(count);
  }
};

struct MaximumOver : Maximum {
  template <class T>
  static constexpr T start() {
    return -std::numeric_limits<T>::infinity();
  }
  template <class T>
  static constexpr T finish(T largest, std::size_t) {
    return largest;
  }
};

struct MinimumOver : Minimum {
  template <class T>
  static constexpr T start() {
    return std::numeric_limits<T>::infinity();
  }
  template <class T>
  static constexpr T finish(T smallest, std::size_t) {
    return smallest;
  }
};

/// The reduction of `count` columns. The order depends on `count` and on the width of a batch only.
template <class Kind, class V, class Cursor>
typename V::value_type reduce_columns(const Cursor& cursor, std::size_t count) {
  using T = typename V::value_type;
  constexpr std::size_t width = V::size;
  T result = Kind::template start<T>();
  std::size_t j = 0;
  if (count >= width) {
    // Four chains hide the latency of an addition. Not an array: that would live in memory.
    V a(result), b(result), c(result), d(result);
    // New values come first: a maximum looks for NaN in its first argument, outside of the chain then.
    for (; j + 4 * width <= count; j += 4 * width) {
      a = Kind::batch(cursor.at(j, AllLanes{}), a);
      b = Kind::batch(cursor.at(j + width, AllLanes{}), b);
      c = Kind::batch(cursor.at(j + 2 * width, AllLanes{}), c);
      d = Kind::batch(cursor.at(j + 3 * width, AllLanes{}), d);
    }
    for (; j + width <= count; j += width) a = Kind::batch(cursor.at(j, AllLanes{}), a);
    alignas(alignment) T lanes[width];
    Kind::batch(Kind::batch(a, b), Kind::batch(c, d)).store_aligned(lanes);
    for (std::size_t half = width / 2; half > 0; half /= 2) {
      for (std::size_t k = 0; k < half; ++k) lanes[k] = Kind::scalar(lanes[k], lanes[k + half]);
    }
    result = lanes[0];
  }
  if (j < count) {
    alignas(alignment) T lanes[width];
    cursor.at(j, FirstLanes{count - j}).store_aligned(lanes);
    for (std::size_t k = 0; k < count - j; ++k) result = Kind::scalar(result, lanes[k]);
  }
  return result;
}

template <class Kind, class T, class Bound>
struct BoundReduction {
  Bound operand;
  std::size_t count;

  constexpr T value(std::size_t row, std::size_t) const {
    T result = Kind::template start<T>();
    for (std::size_t j = 0; j < count; ++j) result = Kind::scalar(result, operand.value(row, j));
    return Kind::finish(result, count);
  }
  /// Reduces the row, once: what follows reads the one number.
  template <class V>
  auto cursor(std::size_t row) const {
    T result = Kind::template start<T>();
    if (count > 0) result = reduce_columns<Kind, V>(operand.template cursor<V>(row), count);
    return SplatCursor<V>{V(Kind::finish(result, count))};
  }
};

/// A reduction over the last extent, which stays as 1.
template <class Kind, class Node>
class Reduction {
 public:
  using expression_tag = void;
  using value_type = typename Node::value_type;
  using device_type = typename Node::device_type;
  using extents_type = typename ReplaceLast<typename Node::extents_type, 1>::type;
  static constexpr std::size_t cost = Node::cost + Kind::cost;

  explicit constexpr Reduction(Node operand) : operand_(std::move(operand)) {}

  constexpr extents_type extents() const {
    return ReplaceLast<typename Node::extents_type, 1>::from(operand_.extents(), 1);
  }
  constexpr std::size_t columns() const { return operand_.columns(); }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    using Rows = ReplaceLast<Result, last_static_extent<typename Node::extents_type>()>;
    const std::size_t count = last_extent(operand_.extents());
    const auto bound = operand_.bind(Rows::from(result, count));
    return BoundReduction<Kind, value_type, std::remove_const_t<decltype(bound)>>{bound, count};
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::Never;
  }
  constexpr bool is_flat(std::size_t) const { return false; }
  bool disturbed_by(const Destination& destination) const { return operand_.disturbed_by(destination); }

 private:
  Node operand_;
};

template <class Kind, class X>
constexpr auto make_reduction(X&& x) {
  return Reduction<Kind, NodeOf<X>>(to_node(std::forward<X>(x)));
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

// Reductions over the last extent. The result keeps it as 1, so it broadcasts against the argument:
// `x - mean(x)`. Inside of an expression a row is reduced once, when the loop reaches the row.

/// The sum of each row; 0 of an empty one.
template <detail::Operand X>
constexpr auto sum(X&& x) {
  return detail::make_reduction<detail::SumOver>(std::forward<X>(x));
}
/// The mean of each row; not a number for an empty one.
template <detail::Operand X>
constexpr auto mean(X&& x) {
  return detail::make_reduction<detail::MeanOver>(std::forward<X>(x));
}
/// The largest (smallest) value of each row; NaN where the row has one, ∓infinity of an empty one.
/// @{
template <detail::Operand X>
constexpr auto max(X&& x) {
  return detail::make_reduction<detail::MaximumOver>(std::forward<X>(x));
}
template <detail::Operand X>
constexpr auto min(X&& x) {
  return detail::make_reduction<detail::MinimumOver>(std::forward<X>(x));
}
/// @}
/// The sum of the squares of each row.
template <detail::Operand X>
constexpr auto sum_of_squares(X&& x) {
  return sum(square(std::forward<X>(x)));
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
