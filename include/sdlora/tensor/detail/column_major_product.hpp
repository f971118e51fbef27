#pragma once

#include "../matmul_backend.hpp"
#include "../matrix_view.hpp"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <optional>

namespace sdlora::detail {

/// A matrix in memory as column-major libraries describe it: element (i, j) lies at i + j · leading.
struct ColumnMajorMatrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t leading = 0;
  auto operator<=>(const ColumnMajorMatrix&) const = default;
};

/// A product of row-major matrices as one of column-major matrices. Row-major memory is that of the transpose
/// to such a library, so it is told outᵀ = op(b)ᵀ · op(a)ᵀ: its left operand is b, its right one a, both
/// transposed where they were, and nothing is moved.
struct ColumnMajorProduct {
  ColumnMajorMatrix left, right, out;
  bool transpose_left = false, transpose_right = false;
  auto operator<=>(const ColumnMajorProduct&) const = default;
};

/// Nothing where rows of a matrix lie in each other, which no leading dimension says.
template <class T, class Device>
std::optional<ColumnMajorProduct> column_major_product(MatrixView<float, Device> out,
                                                       const MatmulOperand<T, Device>& a,
                                                       const MatmulOperand<T, Device>& b) {
  const auto apart = [](const auto& x) { return x.rows <= 1 || x.stride >= x.cols; };
  if (!apart(out) || !apart(a.values) || !apart(b.values)) return std::nullopt;
  // A single row may have any stride; a leading dimension is at least the length of a column.
  const auto seen = [](const auto& x) {
    return ColumnMajorMatrix{x.cols, x.rows, std::max<std::size_t>(1, x.rows <= 1 ? x.cols : x.stride)};
  };
  return ColumnMajorProduct{seen(b.values), seen(a.values), seen(out), b.transposed, a.transposed};
}

}  // namespace sdlora::detail
