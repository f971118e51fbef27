#pragma once

#include "../error.hpp"
#include "bfloat16.hpp"
#include "evaluate.hpp"
#include "indexed.hpp"
#include "matmul.hpp"
#include "matrix_view.hpp"
#include "weight.hpp"
#include "weight_matmul.hpp"
#include "workspace.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace sdlora {

/// How the values of a frozen matrix are stored, beside activations of a scalar T.
enum class StoredType : std::uint8_t {
  Scalar,    ///< as T
  BFloat16,  ///< as bfloat16, which products round both operands to; beside float alone
  Int8       ///< as integers with a scale a row, whose products are those of floats; beside float alone
};

/// "float32" (as a scalar beside it mostly is), "bfloat16" or "int8".
constexpr std::string_view stored_type_name(StoredType stored) {
  switch (stored) {
    case StoredType::BFloat16:
      return "bfloat16";
    case StoredType::Int8:
      return "int8";
    default:
      return "float32";
  }
}

/// The stored type of that name, or nothing.
constexpr std::optional<StoredType> find_stored_type(std::string_view name) {
  for (const StoredType stored : {StoredType::Scalar, StoredType::BFloat16, StoredType::Int8}) {
    if (stored_type_name(stored) == name) return stored;
  }
  return std::nullopt;
}

/// A frozen matrix (rows, cols) on a device, not owned, beside activations of T: a `Weight` whose stored type
/// is known at run time. `matmul`, `look_up`, `rows_as_values` and `for_row_blocks` switch on it inside the
/// call; `visit` does so for everything else. A matrix of T is one. A default-constructed one is absent.
template <class T, class Device = Cpu>
struct FrozenWeight {
  using value_type = T;
  using device_type = Device;
  /// Whether T has other stored types beside it.
  static constexpr bool has_choice = std::is_same_v<T, float>;

  const void* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;  ///< from row to row, in stored values
  StoredType stored = StoredType::Scalar;
  const float* scales = nullptr;  ///< one a row, on the device, of Int8

  constexpr FrozenWeight() = default;
  /// Values of T.
  template <class U>
    requires std::is_same_v<std::remove_const_t<U>, T>
  constexpr FrozenWeight(MatrixView<U, Device> values)  // NOLINT(google-explicit-constructor)
      : data(values.data), rows(values.rows), cols(values.cols), stride(values.stride) {}
  /// Values of bfloat16.
  template <class U>
    requires(std::is_same_v<std::remove_const_t<U>, BFloat16> && has_choice)
  constexpr FrozenWeight(MatrixView<U, Device> values)  // NOLINT(google-explicit-constructor)
      : data(values.data),
        rows(values.rows),
        cols(values.cols),
        stride(values.stride),
        stored(StoredType::BFloat16) {}
  /// Integers and their rows' scales, (1, rows). Throws ShapeError.
  template <class U>
    requires(std::is_same_v<std::remove_const_t<U>, std::int8_t> && has_choice)
  FrozenWeight(MatrixView<U, Device> values, MatrixView<const float, Device> row_scales)
      : data(values.data),
        rows(values.rows),
        cols(values.cols),
        stride(values.stride),
        stored(StoredType::Int8),
        scales(row_scales.data) {
    if (row_scales.rows * row_scales.cols != rows) {
      throw ShapeError("FrozenWeight: expected a scale for each of " + std::to_string(rows) +
                       " rows, found " + std::to_string(row_scales.rows * row_scales.cols));
    }
  }

  constexpr explicit operator bool() const { return data != nullptr; }

  /// Some of the rows. A block of what is absent is absent.
  FrozenWeight rows_from(std::size_t first, std::size_t count) const {
    FrozenWeight part = *this;
    if (data != nullptr) part.data = row(first);
    if (scales != nullptr) part.scales += first;
    part.rows = count;
    return part;
  }

  /// Whether the rows of `next` go on where these end, so that both are one weight of rows + next.rows.
  bool followed_by(const FrozenWeight& next) const {
    return data != nullptr && next.data == row(rows) && next.stride == stride && next.cols == cols &&
           next.stored == stored && next.scales == (scales == nullptr ? nullptr : scales + rows);
  }

  /// The values, where they are stored as T. Throws ArgumentError where they are not.
  MatrixView<const T, Device> values() const {
    if (stored != StoredType::Scalar) {
      throw ArgumentError(
          "FrozenWeight::values: expected a matrix that is stored as the activations are, found one of " +
          std::string(stored_type_name(stored)) +
          "; read it through visit or rows_as_values, or load the base with float weights");
    }
    return as<T>();
  }

  /// f(Weight), of the type that is stored: that of Int8 has products of float.
  template <class Function>
  decltype(auto) visit(const Function& f) const {
    if constexpr (has_choice) {
      if (stored == StoredType::BFloat16) return f(Weight<BFloat16, Device>(as<BFloat16>()));
      if (stored == StoredType::Int8) {
        return f(Weight<std::int8_t, Device, float>(as<std::int8_t>(),
                                                    MatrixView<const float, Device>(scales, 1, rows)));
      }
    }
    return f(Weight<T, Device>(as<T>()));
  }

  /// One value; for many the readers are faster.
  T operator()(std::size_t i, std::size_t j) const {
    static_assert(is_host<Device>,
                  "sdlora::FrozenWeight: single values are read in host memory; copy the base to the Cpu");
    if constexpr (has_choice) {
      if (stored == StoredType::BFloat16) return static_cast<float>(as<BFloat16>()(i, j));
      if (stored == StoredType::Int8) return static_cast<float>(as<std::int8_t>()(i, j)) * scales[i];
    }
    return as<T>()(i, j);
  }

 private:
  template <class Stored>
  MatrixView<const Stored, Device> as() const {
    return {static_cast<const Stored*>(data), rows, cols, stride};
  }
  const void* row(std::size_t i) const {
    const std::size_t bytes = stored == StoredType::BFloat16 ? sizeof(BFloat16)
                              : stored == StoredType::Int8   ? sizeof(std::int8_t)
                                                             : sizeof(T);
    return static_cast<const std::byte*>(data) + i * stride * bytes;
  }
};

static_assert(std::is_trivially_copyable_v<FrozenWeight<float>>);

/// What tables of weights hold for a matrix: a `FrozenWeight` to read, a `MatrixView` to build.
template <class Element, class Device = Cpu>
using WeightView =
    std::conditional_t<std::is_const_v<Element>, FrozenWeight<std::remove_const_t<Element>, Device>,
                       MatrixView<Element, Device>>;

/// A frozen weight as the right operand of `matmul`, transposed.
template <class T, class Device>
struct TransposedFrozenWeight {
  FrozenWeight<T, Device> of;
};
/// Wᵀ, for `matmul` alone: nothing is copied.
template <class T, class Device>
TransposedFrozenWeight<T, Device> transposed(const FrozenWeight<T, Device>& weight) {
  return {weight};
}

/// out = scale · x · Wᵀ, or out += that: (M, rows) of x (M, cols), a layer's forward. As `matmul` of the
/// matrix, or of the Weight, that is stored.
template <class T, class Device>
void matmul(MatrixView<T, Device> out, std::type_identity_t<MatrixView<const T, Device>> x,
            TransposedFrozenWeight<T, Device> weight, Write write = Write::Overwrite,
            std::type_identity_t<T> scale = T(1)) {
  if (weight.of.stored == StoredType::Scalar) {
    return matmul(out, x, transposed(weight.of.values()), write, scale);
  }
  weight.of.visit([&](const auto& w) { matmul(out, x, transposed(w), write, scale); });
}

/// out = scale · d_y · W, or out += that: (M, cols) of d_y (M, rows), the same layer's backward.
template <class T, class Device>
void matmul(MatrixView<T, Device> out, std::type_identity_t<MatrixView<const T, Device>> d_y,
            const FrozenWeight<T, Device>& weight, Write write = Write::Overwrite,
            std::type_identity_t<T> scale = T(1)) {
  if (weight.stored == StoredType::Scalar) return matmul(out, d_y, weight.values(), write, scale);
  weight.visit([&](const auto& w) { matmul(out, d_y, w, write, scale); });
}

/// x (M, cols) = the rows of the ids (1, M), as values.
template <class T, class Device, class Index>
void look_up(MatrixView<T, Device> x, const FrozenWeight<T, Device>& weight, MatrixView<Index, Device> ids) {
  weight.visit([&](const auto& w) { assign(x, rows_at(w, ids)); });
}

/// `count` rows from `first` on as values, (count, cols): those themselves where they are stored as T, else a
/// copy in the workspace.
template <class T, class Device>
MatrixView<const T, Device> rows_as_values(const FrozenWeight<T, Device>& weight, std::size_t first,
                                           std::size_t count, WorkspaceOn<Device>& workspace) {
  return weight.visit([&](const auto& w) { return rows_as_values(w, first, count, workspace); });
}

/// Calls f(first, values) for all rows in order, as values (count, cols): once where they are stored as T,
/// else for copies of a few rows in the workspace.
template <class T, class Device, class Function>
void for_row_blocks(const FrozenWeight<T, Device>& weight, WorkspaceOn<Device>& workspace,
                    const Function& f) {
  constexpr std::size_t values = std::size_t{1} << 18;
  const std::size_t block = weight.stored == StoredType::Scalar
                                ? weight.rows
                                : std::max<std::size_t>(1, values / std::max<std::size_t>(1, weight.cols));
  for (std::size_t first = 0; first < weight.rows; first += block) {
    const WorkspaceScope scope(workspace);
    f(first, rows_as_values(weight, first, std::min(block, weight.rows - first), workspace));
  }
}

}  // namespace sdlora
