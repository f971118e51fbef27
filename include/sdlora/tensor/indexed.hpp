#pragma once

#include "detail/assign_kernel.hpp"
#include "evaluate.hpp"
#include "expression.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

// Rows, columns and single elements of a matrix by lists of indices, on every device. Read in an expression
// they gather; as the destination of `assign` they scatter.

namespace sdlora {

/// Which elements of a matrix a list of indices names.
enum class IndexedBy {
  Rows,     ///< (k, columns): whole rows
  Columns,  ///< (rows, k): whole columns
  Elements  ///< (k, l): element i·columns + j of the matrix for each index
};

namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// Where the elements lie; without a device, so that kernels hold it.
template <IndexedBy By, class T, class Index>
struct IndexedElements {
  T* data;
  std::size_t stride;
  std::size_t of_columns;
  const Index* indices;
  std::size_t index_stride;

  constexpr T* at(std::size_t row, std::size_t column) const {
    if constexpr (By == IndexedBy::Rows) {
      return data + static_cast<std::size_t>(indices[row]) * stride + column;
    } else if constexpr (By == IndexedBy::Columns) {
      return data + row * stride + static_cast<std::size_t>(indices[column]);
    } else {
      const auto i = static_cast<std::size_t>(indices[row * index_stride + column]);
      return data + (stride == of_columns ? i : i / of_columns * stride + i % of_columns);
    }
  }
};

template <class V, class Elements>
struct GatherCursor {
  Elements elements;
  std::size_t row;

  V at(std::size_t j, AllLanes) const { return at(j, FirstLanes{V::size}); }
  V at(std::size_t j, FirstLanes lanes) const {
    alignas(alignment) typename V::value_type buffer[V::size];
    for (std::size_t k = 0; k < V::size; ++k) {
      buffer[k] = *elements.at(row, j + (k < lanes.count ? k : lanes.count - 1));
    }
    return V::load_aligned(buffer);
  }
};

template <IndexedBy By, class T, class Index>
struct BoundIndexed {
  IndexedElements<By, const T, Index> elements;

  constexpr T value(std::size_t row, std::size_t column) const { return *elements.at(row, column); }

  template <class V>
  auto cursor(std::size_t row) const {
    if constexpr (By == IndexedBy::Rows) {
      return PlainCursor<V>{elements.at(row, 0)};
    } else {
      return GatherCursor<V, IndexedElements<By, const T, Index>>{elements, row};
    }
  }
};

template <class Bound, IndexedBy By, class T, class Index>
struct ScatterArguments {
  IndexedElements<By, T, Index> out;
  std::int64_t rows;
  std::int64_t columns;
  Bound bound;
};

/// An expression without reductions into indexed elements.
template <AssignMode Mode, class T, IndexedBy By, class Index, class Bound>
struct Scatter {
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 1;
  using Arguments = ScatterArguments<Bound, By, T, Index>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t i = block.index() * threads + block.thread();
    if (i >= x.rows * x.columns) return;
    const auto row = static_cast<std::size_t>(i / x.columns),
               column = static_cast<std::size_t>(i % x.columns);
    meet_element<Mode>(*x.out.at(row, column), x.bound.value(row, column));
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// A matrix and the indices of what is meant of it; both on one device, neither owned. A leaf of expressions,
/// which is not repeated: it has the shape of the result.
template <IndexedBy By, class T, class Index, class Device>
struct IndexedView {
  using expression_tag = void;
  using value_type = std::remove_const_t<T>;
  using extents_type = Extents<dyn, dyn>;
  using device_type = Device;
  static constexpr std::size_t cost = By == IndexedBy::Rows ? 1 : 4;

  MatrixView<T, Device> of;
  MatrixView<const Index, Device> indices;  ///< (1, k) for rows and columns

  constexpr std::size_t rows() const {
    return By == IndexedBy::Rows ? indices.cols : By == IndexedBy::Columns ? of.rows : indices.rows;
  }
  constexpr std::size_t columns() const { return By == IndexedBy::Rows ? of.cols : indices.cols; }
  constexpr extents_type extents() const { return extents_type(rows(), columns()); }
  /// Where the elements lie, for loops and kernels of the device.
  constexpr detail::IndexedElements<By, T, Index> elements() const {
    return {of.data, of.stride, of.cols, indices.data, indices.stride};
  }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    if (detail::row_count(result) != rows() || detail::last_extent(result) != columns()) {
      throw ShapeError(
          "rows_at, columns_at, elements_at: expected a result of the shape of what the indices name, " +
          detail::extents_text(rows(), columns()) + ", found " + to_string(result) +
          "; where it is to be repeated, evaluate it first");
    }
    const MatrixView<const value_type, Device> from = of;
    return detail::BoundIndexed<By, value_type, Index>{
        {from.data, from.stride, from.cols, indices.data, indices.stride}};
  }
  template <class Result>
  static constexpr detail::Flatness flatness() {
    return detail::Flatness::Never;
  }
  constexpr bool is_flat(std::size_t) const { return false; }
  bool disturbed_by(const detail::Destination& destination) const {
    if (of.rows * of.cols == 0) return false;
    const void* first = of.data;
    const void* last = of.data + (of.rows - 1) * of.stride + of.cols;
    return first < destination.end && destination.begin < last;
  }
};

/// Rows of a matrix: row i is row indices[i]. As a destination the indices must differ from each other.
template <class T, class Index, class Device>
IndexedView<IndexedBy::Rows, T, std::remove_const_t<Index>, Device> rows_at(
    MatrixView<T, Device> matrix, MatrixView<Index, Device> indices) {
  return {matrix, indices};
}
/// Columns of a matrix: column j is column indices[j]. As a destination the indices must differ.
template <class T, class Index, class Device>
IndexedView<IndexedBy::Columns, T, std::remove_const_t<Index>, Device> columns_at(
    MatrixView<T, Device> matrix, MatrixView<Index, Device> indices) {
  return {matrix, indices};
}
/// Single elements, counted row by row: element (i, j) is number indices(i, j) of the matrix, whose rows are
/// `matrix.cols` long. As a destination the indices must differ.
template <class T, class Index, class Device>
IndexedView<IndexedBy::Elements, T, std::remove_const_t<Index>, Device> elements_at(
    MatrixView<T, Device> matrix, MatrixView<Index, Device> indices) {
  return {matrix, indices};
}

/// Writes the value of an expression (without reductions) to the rows, columns or elements named, repeated to
/// their shape; with another mode adds it to what is there, or subtracts, multiplies or divides by it. The
/// indices must differ from each other. Throws ShapeError where the shape does not fit, and ArgumentError
/// where the expression reads the matrix that is written.
template <AssignMode Mode = AssignMode::Set, IndexedBy By, class T, class Index, class Device, class X>
  requires(detail::Operand<X> || detail::Scalar<X>)
void assign(const IndexedView<By, T, Index, Device>& destination, const X& expression) {
  static_assert(!std::is_const_v<T>, "sdlora::assign: the destination is a view of const values");
  const auto& node = detail::borrow<T>(expression);
  using Node = std::remove_cvref_t<decltype(node)>;
  static_assert(std::is_same_v<T, typename Node::value_type>,
                "sdlora: an expression and its destination hold different types of value (float and double); "
                "give the destination the type of the expression");
  static_assert(
      std::is_void_v<typename Node::device_type> || std::is_same_v<typename Node::device_type, Device>,
      "sdlora: the operands of an expression are not on the device of its destination; copy them there");
  const std::size_t rows = destination.rows(), columns = destination.columns();
  const Extents<dyn, dyn> extents(rows, columns);
  detail::check_destination(extents, node);
  if (rows * columns == 0) return;
  const MatrixView<T, Device>& of = destination.of;
  const T* last = of.data + (of.rows - 1) * of.stride + of.cols;
  // A size that no operand has: every overlap disturbs.
  if (node.disturbed_by(detail::Destination{of.data, last, 0 - std::size_t{1}, columns, of.stride})) {
    throw ArgumentError(
        "assign: the expression reads the matrix whose indexed elements it is to be written to; evaluate it "
        "first");
  }
  const auto bound = node.bind(extents);
  using Bound = std::remove_const_t<decltype(bound)>;
  static_assert(!detail::reduces<Bound>,
                "sdlora::assign: an expression with sums, means or maxima is not written to indexed elements "
                "directly; evaluate it first");
  const auto elements = destination.elements();
  if constexpr (is_host<Device>) {
    const std::size_t block = columns < 4096 ? 4096 / columns : 1;
    parallel_for(detail::ceil_div(rows, block), [&](std::size_t task) {
      const std::size_t end = (task + 1) * block < rows ? (task + 1) * block : rows;
      for (std::size_t row = task * block; row < end; ++row) {
        using V = Simd<T>;
        if constexpr (By == IndexedBy::Rows) {
          detail::run_columns<Mode, V>(elements.at(row, 0), bound.template cursor<V>(row), 0, columns);
        } else {
          // Through batches, as the same values would be computed into a whole matrix.
          const auto cursor = bound.template cursor<V>(row);
          alignas(alignment) T values[V::size];
          for (std::size_t j = 0; j < columns; j += V::size) {
            const std::size_t count = columns - j < V::size ? columns - j : V::size;
            if (count == V::size) {
              cursor.at(j, detail::AllLanes{}).store_aligned(values);
            } else {
              cursor.at(j, detail::FirstLanes{count}).store_aligned(values);
            }
            for (std::size_t k = 0; k < count; ++k) {
              detail::meet_element<Mode>(*elements.at(row, j + k), values[k]);
            }
          }
        }
      }
    });
  } else {
    using Kernel = detail::Scatter<Mode, T, By, Index, Bound>;
    const auto r = static_cast<std::int64_t>(rows), c = static_cast<std::int64_t>(columns);
    Launcher<Device> launcher("assignment to indexed elements");
    launcher.template run<Kernel>(detail::ceil_div(r * c, std::int64_t{Kernel::threads}), 0,
                                  {elements, r, c, bound});
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
