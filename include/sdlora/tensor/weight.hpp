#pragma once

#include "../error.hpp"
#include "bfloat16.hpp"
#include "detail/stored_values.hpp"
#include "evaluate.hpp"
#include "expression.hpp"
#include "indexed.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"
#include "workspace.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

namespace detail {
struct PackedPanels;
}

/// The type that products of a weight round both operands to: float and double products are of the values as
/// they are.
template <class Stored>
using default_products = std::conditional_t<std::is_floating_point_v<Stored>, Stored, BFloat16>;

/// A frozen matrix (rows, cols) on a device, not owned, in the precision in which it is stored:
///   float, double   the values themselves
///   BFloat16        rounded values
///   std::int8_t     integers, and for each row a scale that makes values of them
/// `Products` is what a product rounds both of its operands to: `BFloat16`, on every machine, or the type of
/// the activations (float; double for double), to which stored values are widened exactly.
/// On the `Cpu` stored BFloat16 and int8 may begin at any byte, as tensors of a mapped file do. Its readers
/// are `matmul` (weight_matmul.hpp), `rows_at`, `values_of` and `rows_as_values`. A default-constructed
/// weight is absent.
template <class Stored, class Device = Cpu, class Products = default_products<Stored>>
struct Weight {
  using stored_type = Stored;
  using device_type = Device;
  using product_type = Products;
  /// Activations, and what readers give.
  using value_type = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
  static_assert(std::is_floating_point_v<Stored> || std::is_same_v<Stored, BFloat16> ||
                    std::is_same_v<Stored, std::int8_t>,
                "sdlora::Weight: weights are stored as float, double, BFloat16 or std::int8_t");
  static_assert(std::is_same_v<Products, value_type> ||
                    (std::is_same_v<Products, BFloat16> && std::is_same_v<value_type, float>),
                "sdlora::Weight: products are of the activations' type, or of BFloat16 beside float ones");
  /// Whether the stored values are what readers give.
  static constexpr bool plain = std::is_same_v<Stored, value_type>;
  /// Whether rows have scales.
  static constexpr bool scaled = std::is_same_v<Stored, std::int8_t>;

  const std::byte* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;                        ///< from row to row, in stored values
  const float* scales = nullptr;                 ///< one a row, on the device, where `scaled`
  const detail::PackedPanels* packed = nullptr;  ///< see packed_weight.hpp
  std::size_t packed_row = 0;                    ///< which row of the packed weight the first one is

  constexpr Weight() = default;
  /// The values of a matrix.
  template <class U>
    requires(std::is_same_v<std::remove_const_t<U>, Stored> && !scaled)
  Weight(MatrixView<U, Device> values)  // NOLINT(google-explicit-constructor)
      : data(reinterpret_cast<const std::byte*>(values.data)),
        rows(values.rows),
        cols(values.cols),
        stride(values.stride) {}
  /// Integers and their rows' scales, (1, rows).
  template <class U>
    requires(std::is_same_v<std::remove_const_t<U>, Stored> && scaled)
  Weight(MatrixView<U, Device> values, MatrixView<const float, Device> row_scales)
      : data(reinterpret_cast<const std::byte*>(values.data)),
        rows(values.rows),
        cols(values.cols),
        stride(values.stride),
        scales(row_scales.data) {
    if (row_scales.rows * row_scales.cols != rows) {
      throw ShapeError("Weight: expected a scale for each of " + std::to_string(rows) + " rows, found " +
                       std::to_string(row_scales.rows * row_scales.cols));
    }
  }

  /// Values one after another from some byte on, as in a mapped file. Throws ArgumentError where float or
  /// double values do not begin at a multiple of their size: those must be copied.
  static Weight at(const std::byte* bytes, std::size_t rows, std::size_t cols)
    requires(!scaled)
  {
    if (plain && reinterpret_cast<std::uintptr_t>(bytes) % alignof(Stored) != 0) {
      throw ArgumentError("Weight: expected values of " + std::to_string(sizeof(Stored)) +
                          " bytes at a multiple of their size, found an address between two; copy the tensor "
                          "to memory of its own");
    }
    Weight result;
    result.data = bytes;
    result.rows = rows;
    result.cols = cols;
    result.stride = cols;
    return result;
  }

  constexpr explicit operator bool() const { return data != nullptr; }

  /// Where row i begins.
  const std::byte* row(std::size_t i) const { return data + i * stride * sizeof(Stored); }

  /// Some of the rows. A block of what is absent is absent.
  Weight rows_from(std::size_t first, std::size_t count) const {
    Weight part = *this;
    if (data != nullptr) part.data = row(first);
    if (scales != nullptr) part.scales += first;
    part.rows = count;
    part.packed_row += first;
    return part;
  }

  /// Whether the rows of `next` go on where these end, so that `rows_from(0, rows + next.rows)` is both.
  bool followed_by(const Weight& next) const {
    return data != nullptr && next.data == row(rows) && next.stride == stride && next.cols == cols &&
           next.scales == (scales == nullptr ? nullptr : scales + rows) && next.packed == packed &&
           (packed == nullptr || next.packed_row == packed_row + rows);
  }

  /// The values as they are stored, which lie at multiples of their size.
  MatrixView<const Stored, Device> stored() const {
    return {reinterpret_cast<const Stored*>(data), rows, cols, stride};
  }
};

namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// What a reader's expression holds: on the host bytes, on devices stored values.
template <class Stored, class Device>
using StoredRows =
    std::conditional_t<is_host<Device>, StoredBytes<Stored>, StoredValues<Stored, /*Rounded=*/false>>;

template <class Elements, class Index>
struct BoundWeightRows {
  Elements elements;
  const Index* indices;  // null: all rows, one after another

  constexpr std::size_t row_of(std::size_t row) const {
    return indices == nullptr ? row : static_cast<std::size_t>(indices[row]);
  }
  constexpr float value(std::size_t row, std::size_t column) const { return elements(row_of(row), column); }

  template <class V>
  struct Cursor {
    Elements elements;
    std::size_t row;
    V at(std::size_t j, AllLanes) const { return at(j, FirstLanes{V::size}); }
    V at(std::size_t j, FirstLanes lanes) const {
      alignas(alignment) float buffer[V::size] = {};
      elements.read(row, j, lanes.count, buffer);
      return V::load_aligned(buffer);
    }
  };
  template <class V>
  auto cursor(std::size_t row) const {
    return Cursor<V>{elements, row_of(row)};
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// A leaf of expressions: rows of a weight that is not `plain`, as floats.
template <class Stored, class Device, class Products, class Index>
struct WeightRows {
  using expression_tag = void;
  using value_type = float;
  using extents_type = Extents<dyn, dyn>;
  using device_type = Device;
  static constexpr std::size_t cost = 2;

  Weight<Stored, Device, Products> of;
  MatrixView<const Index, Device> indices;

  constexpr std::size_t rows() const { return indices ? indices.cols : of.rows; }
  constexpr std::size_t columns() const { return of.cols; }
  constexpr extents_type extents() const { return extents_type(rows(), columns()); }
  template <class Result>
  auto bind(const Result& result) const {
    if (detail::row_count(result) != rows() || detail::last_extent(result) != columns()) {
      throw ShapeError("rows_at, values_of: expected a result of the weight's shape, " +
                       detail::extents_text(rows(), columns()) + ", found " + to_string(result) +
                       "; where it is to be repeated, evaluate it first");
    }
    using Elements = detail::StoredRows<Stored, Device>;
    return detail::BoundWeightRows<Elements, Index>{Elements(of), indices.data};
  }
  template <class Result>
  static constexpr detail::Flatness flatness() {
    return detail::Flatness::Never;
  }
  constexpr bool is_flat(std::size_t) const { return false; }
  bool disturbed_by(const detail::Destination& destination) const {
    if (of.rows * of.cols == 0) return false;
    const void* first = of.data;
    const void* last = of.row(of.rows - 1) + of.cols * sizeof(Stored);
    return first < destination.end && destination.begin < last;
  }
};

/// An expression of a weight's rows as values (rounded to nothing, whatever `Products` is): row i is row
/// indices[i], as `rows_at` of a matrix gives it.
template <class Stored, class Device, class Products, class Index>
auto rows_at(const Weight<Stored, Device, Products>& weight, MatrixView<Index, Device> indices) {
  if constexpr (Weight<Stored, Device, Products>::plain) {
    return rows_at(weight.stored(), indices);
  } else {
    return WeightRows<Stored, Device, Products, std::remove_const_t<Index>>{weight, indices};
  }
}

/// An expression of all of a weight's values, (rows, cols).
template <class Stored, class Device, class Products>
auto values_of(const Weight<Stored, Device, Products>& weight) {
  if constexpr (Weight<Stored, Device, Products>::plain) {
    return weight.stored();
  } else {
    return WeightRows<Stored, Device, Products, std::int32_t>{weight, {}};
  }
}

}  // namespace SDLORA_SIMD_TAG

/// `count` rows of a weight from `first` on as values, (count, cols): those themselves, where the weight is
/// `plain`; else a copy in the workspace.
template <class Stored, class Device, class Products>
auto rows_as_values(const Weight<Stored, Device, Products>& weight, std::size_t first, std::size_t count,
                    [[maybe_unused]] WorkspaceOn<Device>& workspace) {
  using W = Weight<Stored, Device, Products>;
  using Result = MatrixView<const typename W::value_type, Device>;
  const W part = weight.rows_from(first, count);
  if constexpr (W::plain) {
    return Result(part.stored());
  } else {
    const auto copy = workspace.template matrix<float>(count, weight.cols);
    assign(copy, values_of(part));
    return Result(copy);
  }
}

/// Stores values in another precision, each rounded once: to bfloat16, to the nearest and ties to even.
/// Throws ShapeError.
inline void store_values(MatrixView<BFloat16> to, MatrixView<const float> from) {
  if (to.rows != from.rows || to.cols != from.cols) {
    throw ShapeError("store_values: expected values of shape " + detail::extents_text(to.rows, to.cols) +
                     ", found " + detail::extents_text(from.rows, from.cols));
  }
  parallel_for(from.rows, [&](std::size_t i) { detail::round_row(to.row(i), from.row(i), from.cols); });
}

/// The same to int8: a row's scale is its largest absolute value divided by 127, and its integers are the
/// nearest ones, so that an error is at most half a scale (and rounding). Throws ArgumentError where a value
/// is infinite or NaN.
inline void store_values(MatrixView<std::int8_t> to, std::span<float> scales, MatrixView<const float> from) {
  if (to.rows != from.rows || to.cols != from.cols || scales.size() != to.rows) {
    throw ShapeError("store_values: expected values of shape " + detail::extents_text(to.rows, to.cols) +
                     " and a scale a row, found " + detail::extents_text(from.rows, from.cols) + " and " +
                     std::to_string(scales.size()) + " scales");
  }
  parallel_for(from.rows, [&](std::size_t i) {
    const float* values = from.row(i);
    float largest = 0;
    for (std::size_t j = 0; j < from.cols; ++j) {
      if (!std::isfinite(values[j])) {
        throw ArgumentError("store_values: expected finite numbers, found " + std::to_string(values[j]) +
                            " in row " + std::to_string(i) + ", column " + std::to_string(j) +
                            ", which int8 cannot hold; store this weight as bfloat16 or float");
      }
      largest = std::max(largest, std::abs(values[j]));
    }
    const float scale = largest / 127.0F;
    scales[i] = scale;
    for (std::size_t j = 0; j < from.cols; ++j) {
      const float level = scale > 0 ? std::nearbyint(values[j] / scale) : 0.0F;
      to(i, j) = static_cast<std::int8_t>(std::clamp(level, -127.0F, 127.0F));
    }
  });
}

}  // namespace sdlora
