#pragma once

#include "../../extents.hpp"
#include "../assign_kernel.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

// Sums of an expression over its rows on a GPU, written against a block policy as assign_kernel.hpp is: first
// over parts of the rows, then over the parts, each in order.

namespace sdlora::detail {

/// The rows of a part: so many that there are no more than 256 parts.
constexpr std::int64_t column_sum_rows(std::int64_t rows) {
  constexpr std::int64_t fewest = 32;
  const std::int64_t each = ceil_div(rows, 256);
  return each < fewest ? fewest : each;
}
constexpr std::int64_t column_sum_parts(std::int64_t rows) { return ceil_div(rows, column_sum_rows(rows)); }

/// How many values of scratch memory run_column_sums needs.
constexpr std::size_t column_sum_values(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(column_sum_parts(rows) * columns);
}

inline namespace SDLORA_SIMD_TAG {

template <class T, class Bound>
struct ColumnPartsArguments {
  T* partials;  // (parts, columns)
  std::int64_t rows;
  std::int64_t columns;
  Bound bound;
};

/// A thread takes a column of a part.
template <class T, class Bound>
struct ColumnPartsKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = ColumnPartsArguments<T, Bound>;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    return column_sum_parts(rows) * ceil_div(columns, threads);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t across = ceil_div(x.columns, threads);
    const std::int64_t part = block.index() / across;
    const std::int64_t column = block.index() % across * threads + block.thread();
    if (column >= x.columns) return;
    const std::int64_t each = column_sum_rows(x.rows);
    const std::int64_t last = (part + 1) * each < x.rows ? (part + 1) * each : x.rows;
    T sum = T(0);
    for (std::int64_t row = part * each; row < last; ++row) {
      sum += x.bound.value(static_cast<std::size_t>(row), static_cast<std::size_t>(column));
    }
    x.partials[part * x.columns + column] = sum;
  }
};

template <class T>
struct ColumnSumsArguments {
  T* out;             // (columns)
  const T* partials;  // (parts, columns)
  std::int64_t parts;
  std::int64_t columns;
};

/// A thread adds up the parts of a column.
template <AssignMode Mode, class T>
struct ColumnSumsKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = ColumnSumsArguments<T>;

  static constexpr std::int64_t blocks(std::int64_t columns) { return ceil_div(columns, threads); }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t column = block.index() * threads + block.thread();
    if (column >= x.columns) return;
    T sum = T(0);
    for (std::int64_t part = 0; part < x.parts; ++part) sum += x.partials[part * x.columns + column];
    meet_element<Mode>(x.out[column], sum);
  }
};

/// out[j] meets, as Mode says, the sum over i of bound.value(i, j): of an expression bound to extents
/// (rows, columns). It may hold no reduction, whose value every row would need for itself; assign that to
/// memory first. scratch holds column_sum_values(rows, columns) values.
template <AssignMode Mode, class Launcher, class T, class Bound>
void run_column_sums(Launcher& launcher, T* out, std::int64_t rows, std::int64_t columns, const Bound& bound,
                     std::type_identity_t<T>* scratch) {
  static_assert(!reduces<Bound>, "sdlora: column sums of an expression with a reduction along its rows");
  static_assert(std::is_trivially_copyable_v<Bound>);
  if (columns == 0) return;
  if (rows > 0) {
    using Parts = ColumnPartsKernel<T, Bound>;
    launcher.template run<Parts>(Parts::blocks(rows, columns), Parts::shared_floats,
                                 {scratch, rows, columns, bound});
  }
  using Sums = ColumnSumsKernel<Mode, T>;
  launcher.template run<Sums>(Sums::blocks(columns), Sums::shared_floats,
                              {out, scratch, column_sum_parts(rows), columns});
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
