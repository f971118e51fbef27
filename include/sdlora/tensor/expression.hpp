#pragma once

#include "broadcast.hpp"
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

/// Whether a loop may treat all of the result as one long row of an operand.
enum class Flatness { Never, AtRunTime, Always };

constexpr Flatness weaker(Flatness a, Flatness b) { return a < b ? a : b; }

/// Which lanes of a batch are wanted: all, or the first few (the others hold any value of the row).
struct AllLanes {};
struct FirstLanes {
  std::size_t count;
};

template <class V>
struct PlainCursor {
  const typename V::value_type* p;

  V at(std::size_t j, AllLanes) const { return V::load_unaligned(p + j); }
  V at(std::size_t j, FirstLanes lanes) const {
    alignas(alignment) typename V::value_type buffer[V::size];
    for (std::size_t k = 0; k < V::size; ++k) buffer[k] = p[j + (k < lanes.count ? k : lanes.count - 1)];
    return V::load_aligned(buffer);
  }
};

template <class V>
struct SplatCursor {
  V value;

  template <class Lanes>
  V at(std::size_t, Lanes) const {
    return value;
  }
};

template <class V>
SplatCursor(V) -> SplatCursor<V>;

/// For operands whose last extent is dynamic: one of the above, by a branch that never changes.
template <class V>
struct EitherCursor {
  PlainCursor<V> plain;
  SplatCursor<V> splat;
  bool repeats;

  template <class Lanes>
  V at(std::size_t j, Lanes lanes) const {
    return repeats ? splat.value : plain.at(j, lanes);
  }
};

enum class Columns { Full, Repeated, Either };

/// A tensor in memory, seen from one shape of result.
template <class T, std::size_t Leading, Columns How>
struct BoundTensor {
  const T* data;
  [[no_unique_address]] RowMap<Leading> rows;
  bool repeats;  // the last extent is 1 and the result's is not

  constexpr T value(std::size_t row, std::size_t column) const {
    return data[rows.offset(row) + (repeats ? 0 : column)];
  }

  template <class V>
  auto cursor(std::size_t row) const {
    const T* p = data + rows.offset(row);
    if constexpr (How == Columns::Full) {
      return PlainCursor<V>{p};
    } else if constexpr (How == Columns::Repeated) {
      return SplatCursor<V>{V(*p)};
    } else {
      return EitherCursor<V>{{p}, {V(*p)}, repeats};
    }
  }
  template <class V>
  auto flat_cursor() const {
    return PlainCursor<V>{data};
  }
};

template <class T, class E, class Result>
constexpr auto bind_tensor(const T* data, const E& extents, std::size_t row_stride, const Result& result) {
  constexpr std::size_t own = last_static_extent<E>();
  constexpr std::size_t wanted = last_static_extent<Result>();
  constexpr Columns how = own == 1 && wanted == 1     ? Columns::Full
                          : own == 1                  ? Columns::Repeated
                          : own != dyn || wanted == 1 ? Columns::Full
                                                      : Columns::Either;
  return BoundTensor<T, Result::rank() - 1, how>{
      data, {extents, row_stride, result}, last_extent(extents) != last_extent(result)};
}

/// The memory that an assignment writes.
struct Destination {
  const void* begin;
  const void* end;
  std::size_t size, columns, row_stride;

  /// Whether writing element by element, row after row, changes what the operand is still read for.
  /// It does not where every element of the operand lies at its own place in the destination.
  template <class T, class E>
  bool disturbs(const T* data, const E& extents, std::size_t stride) const {
    const std::size_t count = extents.size();
    if (count == 0 || size == 0) return false;
    const T* last = data + (row_count(extents) - 1) * stride + last_extent(extents);
    if (static_cast<const void*>(last) <= begin || end <= static_cast<const void*>(data)) return false;
    return !(data == begin && count == size && last_extent(extents) == columns &&
             (stride == row_stride || count == columns));
  }
};

/// Contiguous memory: a view, or a tensor that must stay as it is until the assignment.
template <class T, class E, class Device>
struct Leaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = E;
  using device_type = Device;
  static constexpr std::size_t cost = 1;

  TensorView<const T, E, Device> view;

  constexpr const E& extents() const { return view.extents(); }
  constexpr std::size_t columns() const { return last_extent(view.extents()); }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    return bind_tensor(view.data(), view.extents(), columns(), result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    if constexpr (!E::is_static() || !Result::is_static()) {
      return Flatness::AtRunTime;
    } else {
      return E{}.size() == Result{}.size() ? Flatness::Always : Flatness::Never;
    }
  }
  constexpr bool is_flat(std::size_t result_size) const { return view.size() == result_size; }
  bool disturbed_by(const Destination& destination) const {
    return destination.disturbs(view.data(), view.extents(), columns());
  }
};

/// A matrix whose rows may lie further apart than they are long.
template <class T>
struct MatrixLeaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = Extents<dyn, dyn>;
  using device_type = Cpu;
  static constexpr std::size_t cost = 1;

  MatrixView<const T> view;

  constexpr extents_type extents() const { return extents_type(view.rows, view.cols); }
  constexpr std::size_t columns() const { return view.cols; }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    return bind_tensor(view.data, extents(), view.stride, result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::AtRunTime;
  }
  constexpr bool is_flat(std::size_t result_size) const {
    return view.contiguous() && view.rows * view.cols == result_size;
  }
  bool disturbed_by(const Destination& destination) const {
    return destination.disturbs(view.data, extents(), view.stride);
  }
};

/// A temporary tensor, moved in.
template <class T, class E, class Device>
struct OwningLeaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = E;
  using device_type = Device;
  static constexpr std::size_t cost = 1;

  Tensor<T, E, Device> tensor;

  const E& extents() const { return tensor.extents(); }
  std::size_t columns() const { return last_extent(tensor.extents()); }

  template <class Result>
  auto bind(const Result& result) const {
    return leaf().bind(result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Leaf<T, E, Device>::template flatness<Result>();
  }
  bool is_flat(std::size_t result_size) const { return leaf().is_flat(result_size); }
  bool disturbed_by(const Destination&) const { return false; }

 private:
  Leaf<T, E, Device> leaf() const { return {tensor.view()}; }
};

/// One number, the same everywhere.
template <class T>
struct BoundConstant {
  T number;

  constexpr T value(std::size_t, std::size_t) const { return number; }
  template <class V>
  auto cursor(std::size_t) const {
    return SplatCursor<V>{V(number)};
  }
  template <class V>
  auto flat_cursor() const {
    return SplatCursor<V>{V(number)};
  }
};

template <class T>
struct Constant {
  using expression_tag = void;
  using value_type = T;
  using extents_type = Extents<>;
  using device_type = void;
  static constexpr std::size_t cost = 0;

  T number;

  constexpr extents_type extents() const { return {}; }
  constexpr std::size_t columns() const { return 1; }
  template <class Result>
  constexpr auto bind(const Result&) const {
    return BoundConstant<T>{number};
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::Always;
  }
  constexpr bool is_flat(std::size_t) const { return true; }
  bool disturbed_by(const Destination&) const { return false; }
};

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
template <class T>
constexpr MatrixLeaf<std::remove_const_t<T>> to_node(const MatrixView<T>& view) {
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

template <class... X>
struct ValueOf;
template <class X, class... Rest>
struct ValueOf<X, Rest...> : ValueOf<Rest...> {};
template <Operand X, class... Rest>
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
