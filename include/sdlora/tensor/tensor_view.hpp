#pragma once

#include "device.hpp"
#include "extents.hpp"
#include "matrix_view.hpp"

#include <cstddef>
#include <string>
#include <type_traits>

namespace sdlora {

/// A contiguous row-major tensor somewhere in a device's memory: trivially copyable, not owning,
/// so it may be passed to a kernel. Copying or assigning a view copies the pointer, never the
/// values; `assign(view, expression)` writes values.
template <class T, class ExtentsType, class Device = Cpu>
class TensorView {
 public:
  using value_type = std::remove_const_t<T>;
  using extents_type = ExtentsType;
  using device_type = Device;

  constexpr TensorView() = default;
  constexpr TensorView(T* data, const ExtentsType& extents) : data_(data), extents_(extents) {}

  /// A view of values that may change reads as one of values that may not, and a view with static
  /// extents as one with dynamic extents. The way back is explicit and throws ShapeError.
  template <class U, class OtherExtents>
    requires(std::is_convertible_v<U (*)[], T (*)[]> &&
             std::is_constructible_v<ExtentsType, const OtherExtents&>)
  explicit(!std::is_convertible_v<const OtherExtents&, ExtentsType>) constexpr TensorView(
      const TensorView<U, OtherExtents, Device>& other)
      : data_(other.data()), extents_(other.extents()) {}

  static constexpr std::size_t rank() { return ExtentsType::rank(); }
  constexpr T* data() const { return data_; }
  constexpr const ExtentsType& extents() const { return extents_; }
  constexpr std::size_t extent(std::size_t i) const { return extents_.extent(i); }
  constexpr std::size_t size() const { return extents_.size(); }

  /// One element, in host memory; as many indices as the rank, not checked.
  template <class... Indices>
  constexpr T& operator()(Indices... indices) const {
    static_assert(is_host<Device>,
                  "sdlora::TensorView: elements are read and written in host memory; write an expression, or "
                  "copy the tensor to the Cpu first");
    static_assert(sizeof...(Indices) == ExtentsType::rank(),
                  "sdlora::TensorView: an element is named by as many indices as the tensor has extents; "
                  "pass one index per extent");
    std::size_t offset = 0;
    std::size_t i = 0;
    ((offset = offset * extents_.extent(i++) + static_cast<std::size_t>(indices)), ...);
    return data_[offset];
  }

  /// The same values as a matrix: all extents but the last are joined; a vector is one row.
  constexpr MatrixView<T, Device> matrix() const {
    static_assert(ExtentsType::rank() > 0, "sdlora::TensorView: matrix() needs at least one extent");
    std::size_t rows = 1;
    for (std::size_t i = 0; i + 1 < rank(); ++i) rows *= extent(i);
    return {data_, rows, extent(rank() - 1)};
  }

  /// The same without its device: what kernels get, whose memory it is.
  constexpr TensorView<T, ExtentsType> bare() const { return {data_, extents_}; }

  /// The same values in another shape of the same size; else throws ShapeError.
  template <std::size_t... Values>
  TensorView<T, Extents<Values...>, Device> reshape(const Extents<Values...>& extents) const {
    const std::size_t wanted = detail::checked_size(extents, sizeof(T), "TensorView::reshape");
    if (wanted != size()) {
      throw ShapeError("TensorView::reshape: extents " + to_string(extents_) + " hold " +
                       std::to_string(size()) + " values, " + to_string(extents) + " would hold " +
                       std::to_string(wanted) + "; choose a shape of the same size");
    }
    return {data_, extents};
  }

 private:
  T* data_ = nullptr;
  [[no_unique_address]] ExtentsType extents_;
};

static_assert(std::is_trivially_copyable_v<TensorView<float, Extents<dyn, dyn>>>);
static_assert(sizeof(TensorView<float, Extents<3, 5>>) == sizeof(float*));

}  // namespace sdlora
