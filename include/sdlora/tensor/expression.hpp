#pragma once

#include "broadcast.hpp"
#include "detail/expression_leaves.hpp"
#include "simd.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <type_traits>
#include <utility>

// Element-wise expressions. An operator builds a node; assigning it (evaluate.hpp) runs one loop.
//
// Lifetimes: a node holds its operands by value. A tensor that is an lvalue is held as a view of its
// memory (it must not be resized, moved or destroyed before the assignment), a temporary tensor is
// moved into the node. So `auto e = a + make_tensor();` is safe as long as `a` stays.
//
// Two layers. *Nodes* own or refer to operands and know shapes. `node.bind(result)` gives a *bound*
// node for one shape of result: trivially copyable, pointers and strides only, with
// `value(row, column)` free of SIMD (for kernels) and, on the host, cursors that give batches.
// A row is an index into all extents but the last, joined.
//
// All of this is named by the instruction set (SDLORA_SIMD_TAG), and with it every function that is
// instantiated on a node.

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// One to three values of different types. Not std::tuple: that is not trivially copyable.
template <class... Ts>
struct NodePack;
template <class A>
struct NodePack<A> {
  A a;
  template <class F>
  constexpr auto apply(F f) const {
    return f(a);
  }
};
template <class A, class B>
struct NodePack<A, B> {
  A a;
  B b;
  template <class F>
  constexpr auto apply(F f) const {
    return f(a, b);
  }
};
template <class A, class B, class C>
struct NodePack<A, B, C> {
  A a;
  B b;
  C c;
  template <class F>
  constexpr auto apply(F f) const {
    return f(a, b, c);
  }
};
template <class... Ts>
NodePack(Ts...) -> NodePack<Ts...>;

template <class Operation, class... Cursors>
struct MapCursor {
  NodePack<Cursors...> operands;

  template <class Lanes>
  auto at(std::size_t j, Lanes lanes) const {
    return operands.apply([&](const auto&... x) { return Operation::batch(x.at(j, lanes)...); });
  }
};
template <class V>
inline constexpr bool is_splat = false;
template <class V>
inline constexpr bool is_splat<SplatCursor<V>> = true;

/// What is the same for a whole row is computed once per row.
template <class Operation, class... Cursors>
constexpr auto map_cursor(const Cursors&... cursors) {
  if constexpr ((is_splat<Cursors> && ...)) {
    return SplatCursor{Operation::batch(cursors.value...)};
  } else {
    return MapCursor<Operation, Cursors...>{{cursors...}};
  }
}

template <class Operation, class... Bound>
struct BoundMap {
  NodePack<Bound...> operands;

  constexpr auto value(std::size_t row, std::size_t column) const {
    return operands.apply([&](const auto&... x) { return Operation::scalar(x.value(row, column)...); });
  }
  template <class V>
  auto cursor(std::size_t row) const {
    return operands.apply(
        [&](const auto&... x) { return map_cursor<Operation>(x.template cursor<V>(row)...); });
  }
  template <class V>
  auto flat_cursor() const {
    return operands.apply(
        [](const auto&... x) { return map_cursor<Operation>(x.template flat_cursor<V>()...); });
  }
};
template <class Operation, class... Bound>
constexpr auto bound_map(Bound... bound) {
  return BoundMap<Operation, Bound...>{{bound...}};
}

template <class Operation, class First, class... Rest>
constexpr auto broadcast_all(const First& first, const Rest&... rest) {
  if constexpr (sizeof...(Rest) == 0) {
    return first;
  } else {
    return [](const auto& joined, const auto& next, const auto&... others) {
      return broadcast_all<Operation>(broadcast<Operation>(joined, next), others...);
    }(first, rest...);
  }
}

/// The device that operands share; `void` is at home on all.
template <class A, class B, class... Rest>
struct CommonDevice : CommonDevice<std::conditional_t<std::is_void_v<A>, B, A>, Rest...> {
  static_assert(
      std::is_void_v<A> || std::is_void_v<B> || std::is_same_v<A, B>,
      "sdlora: the operands of an element-wise expression are on different devices; copy one of them "
      "to the other's device first");
};
template <class A>
struct CommonDevice<A, void> {
  using type = A;
};

template <class A, class... Rest>
struct CommonValue {
  static_assert((std::is_same_v<A, Rest> && ...),
                "sdlora: the operands of an element-wise expression hold different types of value (float and "
                "double); convert one of them first");
  using type = A;
};

/// `Operation` applied element by element. `Operation` has `name`, `cost` (in additions), `is_mask`,
/// `scalar(x…)` (constexpr, for kernels) and `batch(x…)`.
template <class Operation, class... Operands>
class Map {
 public:
  using expression_tag = void;
  using value_type = typename CommonValue<typename Operands::value_type...>::type;
  using device_type = typename CommonDevice<typename Operands::device_type..., void>::type;
  using extents_type =
      decltype(broadcast_all<Operation>(std::declval<const typename Operands::extents_type&>()...));
  static constexpr std::size_t cost = (Operation::cost + ... + Operands::cost);

  /// Throws ShapeError where the extents do not broadcast.
  explicit constexpr Map(Operands... operands) : operands_{std::move(operands)...} { (void)extents(); }

  constexpr extents_type extents() const {
    return operands_.apply([](const auto&... x) { return broadcast_all<Operation>(x.extents()...); });
  }
  /// The longest row that is read.
  constexpr std::size_t columns() const {
    return operands_.apply([](const auto&... x) {
      std::size_t longest = 0;
      ((longest = x.columns() > longest ? x.columns() : longest), ...);
      return longest;
    });
  }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    return operands_.apply([&](const auto&... x) { return bound_map<Operation>(x.bind(result)...); });
  }
  template <class Result>
  static constexpr Flatness flatness() {
    Flatness all = Flatness::Always;
    ((all = weaker(all, Operands::template flatness<Result>())), ...);
    return all;
  }
  constexpr bool is_flat(std::size_t result_size) const {
    return operands_.apply([&](const auto&... x) { return (x.is_flat(result_size) && ...); });
  }
  bool disturbed_by(const Destination& destination) const {
    return operands_.apply([&](const auto&... x) { return (x.disturbed_by(destination) || ...); });
  }

 private:
  NodePack<Operands...> operands_;
};

// What an operator's argument becomes in a node.
template <class T, class E, class D>
constexpr Leaf<T, E, D> to_node(const Tensor<T, E, D>& tensor) {
  return {tensor.view()};
}
template <class T, class E, class D>
OwningLeaf<T, E, D> to_node(Tensor<T, E, D>&& tensor) {
  return {std::move(tensor)};
}
template <class T, class E, class D>
OwningLeaf<T, E, D> to_node(const Tensor<T, E, D>&& tensor) {
  return {tensor};
}
template <class T, class E, class D>
constexpr Leaf<std::remove_const_t<T>, E, D> to_node(const TensorView<T, E, D>& view) {
  return {view};
}
template <class T, class D>
constexpr MatrixLeaf<std::remove_const_t<T>, D> to_node(const MatrixView<T, D>& view) {
  return {view};
}
template <ExpressionNode Node>
constexpr std::remove_cvref_t<Node> to_node(Node&& node) {
  return std::forward<Node>(node);
}

template <class X>
using NodeOf = decltype(to_node(std::declval<X>()));

/// Comparisons are no numbers: `select` alone takes them.
template <class Node>
inline constexpr bool is_mask = false;
template <class Operation, class... Operands>
inline constexpr bool is_mask<Map<Operation, Operands...>> = Operation::is_mask;

template <class X>
concept Operand = requires { typename NodeOf<X>; } &&
                  std::is_floating_point_v<typename NodeOf<X>::value_type> && !is_mask<NodeOf<X>>;

template <class X>
concept Mask = requires { typename NodeOf<X>; } && is_mask<NodeOf<X>>;

template <class X>
concept Scalar = std::is_arithmetic_v<std::remove_cvref_t<X>>;

/// At least one tensor or expression, the others those or numbers.
template <class... X>
concept Operands = (Operand<X> || ...) && ((Operand<X> || Scalar<X>) && ...);

/// The type of the values, which numbers take: that of the first operand, or of what a mask compares.
template <class... X>
struct ValueOf;
template <class X, class... Rest>
struct ValueOf<X, Rest...> : ValueOf<Rest...> {};
template <class X, class... Rest>
  requires(Operand<X> || Mask<X>)
struct ValueOf<X, Rest...> {
  using type = typename NodeOf<X>::value_type;
};

template <class T, class X>
constexpr auto to_operand(X&& x) {
  if constexpr (Scalar<X>) {
    return Constant<T>{static_cast<T>(x)};
  } else {
    return to_node(std::forward<X>(x));
  }
}

/// The node of an argument that lives until the end of the call: nothing is copied or moved.
template <class T, class X>
constexpr decltype(auto) borrow(const X& x) {
  if constexpr (ExpressionNode<X>) {
    return (x);
  } else {
    return to_operand<T>(x);
  }
}

template <class Operation, class... X>
constexpr auto make_map(X&&... x) {
  using T = typename ValueOf<X...>::type;
  return Map<Operation, decltype(to_operand<T>(std::forward<X>(x)))...>(to_operand<T>(std::forward<X>(x))...);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
