#pragma once

#include "../matrix_view.hpp"
#include "../tensor_view.hpp"
#include "storage.cuh"

namespace sdlora {

/// A matrix in the GPU's memory as kernels' arguments hold it: the initial states of scans.
template <class T, class E>
MatrixView<T> device_matrix(const TensorView<T, E, Cuda>& matrix) {
  static_assert(E::rank() == 2, "sdlora::device_matrix: a matrix has two extents");
  return {matrix.data(), matrix.extent(0), matrix.extent(1)};
}

}  // namespace sdlora
