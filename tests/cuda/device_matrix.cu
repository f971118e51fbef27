#include <sdlora/tensor/cuda/device_matrix.cuh>

#include <doctest/doctest.h>

using namespace sdlora;

TEST_CASE("device_matrix: the values of a tensor on the GPU as kernels take them") {
  const float* const values = reinterpret_cast<const float*>(64);  // never read
  const TensorView<const float, Extents<dyn, 5>, Cuda> view(values, Extents<dyn, 5>(3));
  const MatrixView<const float> matrix = device_matrix(view);
  CHECK(matrix.data == values);
  CHECK(matrix.rows == 3);
  CHECK(matrix.cols == 5);
  CHECK(matrix.stride == 5);
}
