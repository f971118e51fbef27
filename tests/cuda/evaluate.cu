#include <sdlora/tensor/cuda/evaluate.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/expression_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct ThroughGpu {
  using Device = Cuda;
  template <class T, class E>
  Tensor<T, E, Cuda> put(const Tensor<T, E>& tensor) const {
    return to_device(tensor);
  }
  template <class T, class E>
  Tensor<T, E> get(const Tensor<T, E, Cuda>& tensor) const {
    return to_host(tensor);
  }
};

}  // namespace

TEST_CASE("expressions on the GPU") {
  if (skip_without_device(has_cuda_device())) return;
  check_expressions<float>(ThroughGpu{}, {{1, 1}, {5, 1}, {1, 31}, {7, 33}, {129, 3}, {300, 257}, {2, 1029}});
}

// Small, for tools that watch every access; the longer row is reduced by a whole block.
TEST_CASE("expressions on the GPU: on a stream of their own") {
  if (skip_without_device(has_cuda_device())) return;
  const CudaStream stream = CudaStream::create();
  const CudaStreamScope scope(stream);
  check_expressions<float>(ThroughGpu{}, {{33, 65}, {2, 1029}});
}
