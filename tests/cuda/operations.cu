#include <sdlora/tensor/cuda/launch.cuh>

#include "support/add_rows_kernel_cases.hpp"
#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/matmul_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// The GPU as the cases of the operations' kernels see it.
struct CudaOperations : detail::StreamLauncher<detail::CudaBlock> {
  CudaOperations() : StreamLauncher(nullptr, "a test") {}
  template <class T>
  using Buffer = CudaDevice::Buffer<T>;
};

}  // namespace

TEST_CASE("matmul kernels on the GPU: the host's products") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_matmul_kernels(device,
                       {{1, 1, 7}, {5, 3, 16}, {64, 64, 17}, {131, 71, 13}, {257, 8, 1021}, {300, 521, 257}});
}

TEST_CASE("add_rows kernel on the GPU: ids that repeat, in order") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_add_rows_kernel(device);
}
