#pragma once

#include "expression.hpp"
#include "extents.hpp"
#include "functions.hpp"
#include "parallel.hpp"
#include "reduce.hpp"
#include "simd.hpp"
#include "tensor.hpp"

#include <cstddef>
#include <type_traits>
#include <utility>

// Running an expression on the CPU: one loop over batches along the last extent. Where every operand
// has the shape of the result the loop is one long row. Large results are cut into blocks of a fixed
// size for the thread team; every element is computed by the same instructions wherever the cuts are.
//
// Aliasing: the destination may appear in the expression. Where every element of it is read only for
// its own place (`x = 2 * x`) or its own row (`x = x / sum(x)`) the loop writes in place; where it is
// also read for others (a repeated row of it, an overlapping view) the value goes through a copy.

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

template <AssignMode Mode, class V>
V meet(const V& old, const V& value) {
  if constexpr (Mode == AssignMode::Add) {
    return old + value;
  } else if constexpr (Mode == AssignMode::Subtract) {
    return old - value;
  } else if constexpr (Mode == AssignMode::Multiply) {
    return old * value;
  } else if constexpr (Mode == AssignMode::Divide) {
    return old / value;
  } else {
    return value;
  }
}

template <AssignMode Mode, class V, class T, class Cursor>
void run_columns(T* out, const Cursor& cursor, std::size_t first, std::size_t last) {
  constexpr std::size_t width = V::size;
  std::size_t j = first;
  for (; j + width <= last; j += width) {
    V value = cursor.at(j, AllLanes{});
    if constexpr (Mode != AssignMode::Set) value = meet<Mode>(V::load_unaligned(out + j), value);
    value.store_unaligned(out + j);
  }
  if (j < last) {
    const FirstLanes lanes{last - j};
    V value = cursor.at(j, lanes);
    if constexpr (Mode != AssignMode::Set) value = meet<Mode>(PlainCursor<V>{out}.at(j, lanes), value);
    alignas(alignment) T buffer[width];
    value.store_aligned(buffer);
    for (std::size_t k = 0; k < lanes.count; ++k) out[j + k] = buffer[k];
  }
}

/// Elements of one task, which should take some ten microseconds: many times the cost of handing it
/// to a thread.
template <std::size_t Cost>
inline constexpr std::size_t block_elements = Cost >= 32  ? 4096
                                              : Cost >= 8 ? 8192
                                                          : 32768;

template <AssignMode Mode, std::size_t Cost, class T, class Bound>
void run_flat(T* out, std::size_t size, const Bound& bound) {
  using V = Simd<T>;
  const std::size_t block = size <= 2 * block_elements<Cost> ? size : block_elements<Cost>;
  parallel_for(ceil_div(size, block), [&](std::size_t task) {
    const std::size_t first = task * block;
    run_columns<Mode, V>(out, bound.template flat_cursor<V>(), first,
                         first + block < size ? first + block : size);
  });
}

/// `longest`: the longest row that is read, which is longer than `columns` where rows are reduced.
template <AssignMode Mode, std::size_t Cost, class T, class Bound>
void run_rows(T* out, std::size_t rows, std::size_t columns, std::size_t stride, std::size_t longest,
              const Bound& bound) {
  using V = Simd<T>;
  const std::size_t work = longest > columns ? longest : columns;
  std::size_t block = work < block_elements<Cost> ? block_elements<Cost> / work : 1;
  if (rows <= 2 * block) block = rows;
  parallel_for(ceil_div(rows, block), [&](std::size_t task) {
    const std::size_t first = task * block;
    const std::size_t last = first + block < rows ? first + block : rows;
    for (std::size_t row = first; row < last; ++row) {
      run_columns<Mode, V>(out + row * stride, bound.template cursor<V>(row), 0, columns);
    }
  });
}

/// The shape of `Expression` repeated to that of `DestinationExtents`. The names of the parameters
/// appear in the compiler's note beside the sentence.
template <class DestinationExtents, class ExpressionExtents>
struct ExpressionMustFitDestination {
  static constexpr bool fits() {
    constexpr std::size_t rank = DestinationExtents::rank();
    if (ExpressionExtents::rank() > rank) return false;
    for (std::size_t i = 0; i < rank; ++i) {
      const std::size_t to = DestinationExtents::static_extent(i);
      const std::size_t from =
          aligned_static_extent<ExpressionExtents>(i, larger_rank(rank, ExpressionExtents::rank()));
      if (from != 1 && from != dyn && to != dyn && from != to) return false;
    }
    return true;
  }
  static constexpr bool value = fits();
  static_assert(
      value,
      "sdlora: an expression does not have the static extents of its destination. "
      "ExpressionMustFitDestination<DestinationExtents, ExpressionExtents> names both: counted from "
      "the last, each extent of the expression must equal the destination's or be 1; give the "
      "destination the shape of the expression, or reshape or reduce the expression");
};

/// The shape that a tensor takes over when an expression is assigned to it.
template <class DestinationExtents, class ExpressionExtents>
struct TensorMustTakeShape {
  static constexpr bool fits() {
    if (ExpressionExtents::rank() != DestinationExtents::rank()) return false;
    for (std::size_t i = 0; i < DestinationExtents::rank(); ++i) {
      const std::size_t to = DestinationExtents::static_extent(i);
      const std::size_t from = ExpressionExtents::static_extent(i);
      if (from != dyn && to != dyn && from != to) return false;
    }
    return true;
  }
  static constexpr bool value = fits();
  static_assert(
      value,
      "sdlora: a tensor takes over the shape of the expression assigned to it, and its extents do not "
      "allow this one. TensorMustTakeShape<DestinationExtents, ExpressionExtents> names both: declare "
      "the tensor with the extents of the expression or with dyn; to repeat a smaller expression over "
      "an existing tensor, write assign(tensor.view(), expression)");
};

/// The shape of a tensor of type E that takes over an expression; throws ShapeError where a static
/// extent contradicts it. For every device.
template <class E, class Node>
E taken_shape(const Node& node) {
  if constexpr (TensorMustTakeShape<E, typename Node::extents_type>::value) {
    const auto found = node.extents();
    if constexpr (!std::is_convertible_v<typename Node::extents_type, E>) {
      for (std::size_t i = 0; i < E::rank(); ++i) {
        if (E::static_extent(i) != dyn && E::static_extent(i) != found.extent(i)) {
          throw_destination_does_not_fit(to_string(E{}), to_string(found));
        }
      }
    }
    return E(found);
  } else {
    return E{};
  }
}

/// Throws ShapeError where an expression cannot be repeated to the shape of its destination. For every
/// device.
template <class E, class Node>
void check_destination(const E& extents, const Node& node) {
  static_assert(E::rank() > 0, "sdlora: an element-wise expression needs at least one extent; use a number");
  if constexpr (ExpressionMustFitDestination<E, typename Node::extents_type>::value &&
                !(E::is_static() && Node::extents_type::is_static())) {
    const auto found = node.extents();
    for (std::size_t i = 0; i < E::rank(); ++i) {
      const std::size_t from = aligned_extent(found, i, E::rank());
      if (from != 1 && from != extents.extent(i)) {
        throw_destination_does_not_fit(to_string(extents), to_string(found));
      }
    }
  }
}

template <AssignMode Mode, class T, class E, class Node>
void assign_into(T* data, const E& extents, std::size_t stride, const Node& node) {
  static_assert(std::is_same_v<T, typename Node::value_type>,
                "sdlora: an expression and its destination hold different types of value (float and double); "
                "give the destination the type of the expression");
  static_assert(!is_mask<Node>,
                "sdlora: a comparison has no numbers to assign; use select(condition, yes, no)");
  static_assert(
      std::is_void_v<typename Node::device_type> || std::is_same_v<typename Node::device_type, Cpu>,
      "sdlora: the operands of an expression are not on the device of its destination; copy them there");
  if constexpr (ExpressionMustFitDestination<E, typename Node::extents_type>::value) {
    check_destination(extents, node);
    const std::size_t rows = row_count(extents);
    const std::size_t columns = last_extent(extents);
    if (rows * columns == 0) return;
    if (data == nullptr) throw_destination_has_no_memory(to_string(extents));
    const bool contiguous = stride == columns || rows == 1;
    if (node.disturbed_by(Destination{data, data + (rows - 1) * stride + columns, rows * columns, columns,
                                      contiguous ? columns : stride})) {
      Storage<T, Cpu> copy(rows * columns);
      for (std::size_t row = 0; row < rows; ++row) {
        Storage<T, Cpu>::copy(copy.data() + row * columns, data + row * stride, columns);
      }
      assign_into<Mode>(copy.data(), extents, columns, node);
      for (std::size_t row = 0; row < rows; ++row) {
        Storage<T, Cpu>::copy(data + row * stride, copy.data() + row * columns, columns);
      }
      return;
    }
    constexpr Flatness flatness = Node::template flatness<E>();
    const auto bound = node.bind(extents);
    static_assert(std::is_trivially_copyable_v<std::remove_const_t<decltype(bound)>>);
    if constexpr (flatness == Flatness::Always && E::is_static()) {  // a tensor, so contiguous
      run_flat<Mode, Node::cost>(data, rows * columns, bound);
    } else {
      if constexpr (flatness != Flatness::Never) {
        if (contiguous && node.is_flat(rows * columns)) {
          return run_flat<Mode, Node::cost>(data, rows * columns, bound);
        }
      }
      run_rows<Mode, Node::cost>(data, rows, columns, stride, node.columns(), bound);
    }
  }
}

}  // namespace SDLORA_SIMD_TAG

template <>
struct Evaluator<Cpu> {
  template <class E, class Node>
  static E shape(const Node& node) {
    return taken_shape<E>(node);
  }

  template <AssignMode Mode, class T, class E, class Node>
  static void assign(const TensorView<T, E, Cpu>& destination, const Node& node) {
    assign_into<Mode>(destination.data(), destination.extents(), last_extent(destination.extents()), node);
  }
  template <AssignMode Mode, class T, class Node>
  static void assign(const MatrixView<T>& destination, const Node& node) {
    assign_into<Mode>(destination.data, Extents<dyn, dyn>(destination.rows, destination.cols),
                      destination.stride, node);
  }
};

}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// Writes the value of an expression (a tensor, a view, a number, operations on them) into memory
/// that exists, repeated to its shape; with another mode adds it to what is there, or subtracts,
/// multiplies or divides by it. Throws ShapeError where the shape does not fit.
template <AssignMode Mode = AssignMode::Set, class T, class E, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
void assign(const TensorView<T, E, Device>& destination, const X& expression) {
  static_assert(!std::is_const_v<T>, "sdlora::assign: the destination is a view of const values");
  detail::Evaluator<Device>::template assign<Mode>(destination, detail::borrow<T>(expression));
}
/// The same, into a matrix.
template <AssignMode Mode = AssignMode::Set, class T, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
void assign(const MatrixView<T, Device>& destination, const X& expression) {
  static_assert(!std::is_const_v<T>, "sdlora::assign: the destination is a view of const values");
  detail::Evaluator<Device>::template assign<Mode>(destination, detail::borrow<T>(expression));
}

/// The value of an expression as a tensor of its own.
template <detail::Operand X>
auto evaluate(const X& expression) {
  using Node = detail::NodeOf<const X&>;
  return Tensor<typename Node::value_type, typename Node::extents_type, typename Node::device_type>(
      detail::borrow<typename Node::value_type>(expression));
}

/// `tensor op= expression`: the shape stays, the expression is repeated to it.
/// @{
template <class T, class E, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
Tensor<T, E, Device>& operator+=(Tensor<T, E, Device>& tensor, const X& expression) {
  detail::Evaluator<Device>::template assign<AssignMode::Add>(tensor.view(), detail::borrow<T>(expression));
  return tensor;
}
template <class T, class E, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
Tensor<T, E, Device>& operator-=(Tensor<T, E, Device>& tensor, const X& expression) {
  detail::Evaluator<Device>::template assign<AssignMode::Subtract>(tensor.view(),
                                                                   detail::borrow<T>(expression));
  return tensor;
}
template <class T, class E, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
Tensor<T, E, Device>& operator*=(Tensor<T, E, Device>& tensor, const X& expression) {
  detail::Evaluator<Device>::template assign<AssignMode::Multiply>(tensor.view(),
                                                                   detail::borrow<T>(expression));
  return tensor;
}
template <class T, class E, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
Tensor<T, E, Device>& operator/=(Tensor<T, E, Device>& tensor, const X& expression) {
  detail::Evaluator<Device>::template assign<AssignMode::Divide>(tensor.view(),
                                                                 detail::borrow<T>(expression));
  return tensor;
}
/// @}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
