#pragma once

#include "device.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdlora {

/// A row-major matrix in the memory of a device: trivially copyable, not owning. Rows may be further
/// apart than they are long (`stride` ≥ `cols`, in elements), so a block of columns is a view too; or all the
/// same (`stride` 0). A default-constructed view is empty and means "absent" where a function says so.
/// Elements are reached on the `Cpu` only.
template <class T, class Device = Cpu>
struct MatrixView {
  using value_type = std::remove_const_t<T>;
  using device_type = Device;

  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* data_, std::size_t rows_, std::size_t cols_, std::size_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  constexpr MatrixView(T* data_, std::size_t rows_, std::size_t cols_)
      : MatrixView(data_, rows_, cols_, cols_) {}

  /// A view of values that may change reads as one of values that may not.
  template <class U>
    requires(std::is_same_v<U, const T> && !std::is_const_v<T>)
  constexpr operator MatrixView<U, Device>() const  // NOLINT(google-explicit-constructor)
  {
    return {data, rows, cols, stride};
  }

  constexpr explicit operator bool() const { return data != nullptr; }
  constexpr bool contiguous() const { return stride == cols || rows <= 1; }
  constexpr T* row(std::size_t i) const { return data + i * stride; }
  constexpr T& operator()(std::size_t i, std::size_t j) const {
    static_assert(is_host<Device>,
                  "sdlora::MatrixView: elements are read and written in host memory; write an expression, or "
                  "copy the values to the Cpu first");
    return data[i * stride + j];
  }

  // A block of what is absent is absent.
  constexpr MatrixView rows_from(std::size_t first, std::size_t count) const {
    return {data == nullptr ? nullptr : data + first * stride, count, cols, stride};
  }
  constexpr MatrixView cols_from(std::size_t first, std::size_t count) const {
    return {data == nullptr ? nullptr : data + first, rows, count, stride};
  }

  /// The same without its device: what kernels get, whose memory it is.
  constexpr MatrixView<T> bare() const { return {data, rows, cols, stride}; }
};

static_assert(std::is_trivially_copyable_v<MatrixView<float>>);

namespace detail {

/// Whether some element lies in both. Of matrices with different strides whose ranges meet, it is taken to.
template <class T, class D>
bool share_memory(MatrixView<const T, D> a, MatrixView<const T, D> b) {
  if (a.rows * a.cols == 0 || b.rows * b.cols == 0) return false;
  const auto begin = [](const auto& x) { return reinterpret_cast<std::uintptr_t>(x.data); };
  const auto end = [](const auto& x) {
    return reinterpret_cast<std::uintptr_t>(x.data + (x.rows - 1) * x.stride + x.cols);
  };
  if (end(a) <= begin(b) || end(b) <= begin(a)) return false;
  // A single row has no stride.
  const std::size_t stride = a.rows == 1 ? b.stride : a.stride;
  if (stride == 0 || (b.rows > 1 && b.stride != stride)) return true;
  // Blocks of columns of one matrix: b begins so many columns behind a.
  const std::size_t ahead = (begin(a) > begin(b) ? begin(a) - begin(b) : 0) / sizeof(T) % stride;
  const std::size_t behind = (begin(b) > begin(a) ? begin(b) - begin(a) : 0) / sizeof(T) % stride;
  const std::size_t column = ahead > 0 ? stride - ahead : behind;
  return column < a.cols || column + b.cols > stride;
}

/// Whether each element of one is that element of the other.
template <class T, class D>
bool same_place(MatrixView<const T, D> a, MatrixView<const T, D> b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && (a.stride == b.stride || a.rows <= 1);
}

}  // namespace detail
}  // namespace sdlora
