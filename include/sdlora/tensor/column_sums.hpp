#pragma once

#include "detail/assign_kernel.hpp"
#include "evaluate.hpp"
#include "expression.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// A thread a column, rows in order.
template <AssignMode Mode, class T, class Bound>
struct SumColumns {
  static constexpr int threads = 64;
  static constexpr int resident_blocks = 1;
  using Arguments = AssignArguments<T, Bound>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t j = block.index() * threads + block.thread();
    if (j >= x.columns) return;
    T sum = Mode == AssignMode::Add ? x.out[j] : T(0);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      sum += x.bound.value(static_cast<std::size_t>(i), static_cast<std::size_t>(j));
    }
    x.out[j] = sum;
  }
};

template <AssignMode Mode, class T, class Bound>
void sum_columns(T* out, std::size_t rows, std::size_t columns, const Bound& bound) {
  using V = Simd<T>;
  constexpr std::size_t block = 64;  // columns of one task, in full vectors
  constexpr std::size_t vectors = block / V::size;
  static_assert(block % V::size == 0);
  parallel_for(ceil_div(columns, block), [&](std::size_t task) {
    const std::size_t first = task * block;
    const std::size_t count = first + block < columns ? block : columns - first;
    alignas(alignment) T sums[block] = {};
    if constexpr (Mode == AssignMode::Add) {
      for (std::size_t j = 0; j < count; ++j) sums[j] = out[first + j];
    }
    if (count == block) {
      V batch[vectors];
      for (std::size_t k = 0; k < vectors; ++k) batch[k] = V::load_aligned(sums + k * V::size);
      for (std::size_t i = 0; i < rows; ++i) {
        const auto cursor = bound.template cursor<V>(i);
        for (std::size_t k = 0; k < vectors; ++k) batch[k] += cursor.at(first + k * V::size, AllLanes{});
      }
      for (std::size_t k = 0; k < vectors; ++k) batch[k].store_aligned(sums + k * V::size);
    } else {
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < count; ++j) sums[j] += bound.value(i, first + j);
      }
    }
    for (std::size_t j = 0; j < count; ++j) out[first + j] = sums[j];
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// out (1, C) = Σ over the rows of an expression (R, C), or += with AssignMode::Add: the other direction
/// than `sum`. Rows are added in order, for any number of threads. The expression has no reductions of its
/// own and does not read `out`. Throws ShapeError where its shape does not fit.
template <AssignMode Mode = AssignMode::Set, class T, class Device, detail::Operand X>
  requires(Mode == AssignMode::Set || Mode == AssignMode::Add)
void assign_column_sums(const MatrixView<T, Device>& out, const X& expression) {
  const auto& node = detail::borrow<T>(expression);
  using Node = std::remove_cvref_t<decltype(node)>;
  static_assert(
      std::is_void_v<typename Node::device_type> || std::is_same_v<typename Node::device_type, Device>,
      "sdlora: the operands of an expression are not on the device of its destination; copy them there");
  const auto extents = node.extents();
  static_assert(extents.rank() == 2, "sdlora::assign_column_sums: expected an expression with two extents");
  const std::size_t rows = extents.extent(0), columns = extents.extent(1);
  if (out.rows != 1 || out.cols != columns) {
    throw ShapeError("assign_column_sums: expected out " + detail::extents_text(1, columns) + ", found " +
                     detail::extents_text(out.rows, out.cols) + "; give a place for each column");
  }
  if (columns == 0) return;
  const auto bound = node.bind(extents);
  using Bound = std::remove_const_t<decltype(bound)>;
  static_assert(!detail::reduces<Bound>,
                "sdlora::assign_column_sums: an expression with sums, means or maxima would reduce its rows "
                "for every column; evaluate those first");
  if constexpr (is_host<Device>) {
    detail::sum_columns<Mode>(out.data, rows, columns, bound);
  } else {
    using Kernel = detail::SumColumns<Mode, T, Bound>;
    Launcher<Device> launcher("column sums of an expression");
    const auto c = static_cast<std::int64_t>(columns);
    launcher.template run<Kernel>(detail::ceil_div(c, std::int64_t{Kernel::threads}), 0,
                                  {out.data, static_cast<std::int64_t>(rows), c, c, bound});
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
