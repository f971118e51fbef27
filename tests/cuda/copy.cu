#include <sdlora/tensor/cuda/copy.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"

#include <doctest/doctest.h>

#include <cstddef>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("copies between host and device") {
  if (skip_without_device(has_cuda_device())) return;
  Tensor<double, Extents<dyn, 7>> host(5);
  for (std::size_t i = 0; i < host.size(); ++i) host.data()[i] = static_cast<double>(i) - 3.5;
  const Tensor<double, Extents<dyn, 7>, Cuda> device = to_device(host);
  Tensor<double, Extents<dyn, 7>, Cuda> other = device;
  const auto back = to_host(other);
  REQUIRE(back.extents() == host.extents());
  for (std::size_t i = 0; i < host.size(); ++i) CHECK(back.data()[i] == host.data()[i]);
  other.set_zero();
  copy(other.view(), host.view());
  for (std::size_t i = 0; i < host.size(); ++i) CHECK(host.data()[i] == 0);
}

TEST_CASE("copies between host and device: shapes must agree, nothing is nothing") {
  const Tensor<float, Extents<dyn, dyn>> empty(0, 3);
  CHECK(to_device(empty).size() == 0);
  const Tensor<float, Extents<dyn, dyn>> host(2, 3);
  const TensorView<float, Extents<dyn, dyn>, Cuda> narrow(nullptr, Extents<dyn, dyn>(3, 2));
  CHECK_THROWS_AS(copy(host.view(), narrow), ShapeError);
}
