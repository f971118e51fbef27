#pragma once

#include "device.hpp"
#include "matrix_view.hpp"

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace sdlora {

/// A matrix of a device, its rows one after another, as the host reads it: on the `Cpu` those values
/// themselves, which must stay; elsewhere a copy.
template <class T, class Device>
class HostCopy {
 public:
  explicit HostCopy(MatrixView<const T, Device> matrix) : view_(matrix.data, matrix.rows, matrix.cols) {
    if constexpr (!is_host<Device>) {
      copy_.resize(matrix.rows * matrix.cols);
      Storage<T, Device>::read(copy_.data(), matrix.data, copy_.size());
      view_.data = copy_.data();
    }
  }
  HostCopy(const HostCopy&) = delete;
  HostCopy& operator=(const HostCopy&) = delete;

  MatrixView<const T> view() const { return view_; }
  std::span<const T> values() const { return {view_.data, view_.rows * view_.cols}; }

 private:
  std::vector<T> copy_;
  MatrixView<const T> view_;
};

/// HostCopy(view) copies any matrix.
template <class T, class Device>
HostCopy(MatrixView<T, Device>) -> HostCopy<std::remove_const_t<T>, Device>;

}  // namespace sdlora
