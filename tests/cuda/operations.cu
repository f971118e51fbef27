#include <sdlora/tensor/cuda/launch.cuh>
#include <sdlora/tensor/cuda/storage.cuh>

#include "support/adamw_kernel_cases.hpp"
#include "support/add_rows_kernel_cases.hpp"
#include "support/block_reduce_cases.hpp"
#include "support/column_sums_kernel_cases.hpp"
#include "support/conv1d_kernel_cases.hpp"
#include "support/cross_entropy_kernel_cases.hpp"
#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/matmul_kernel_cases.hpp"
#include "support/weight_device_cases.hpp"

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
  check_matmul_kernels(device, {{1, 1, 7},
                                {5, 3, 16},
                                {64, 64, 17},
                                {131, 71, 13},
                                {257, 8, 1021},
                                {300, 521, 257},
                                {1500, 1407, 61}});
}

TEST_CASE("weights on the GPU: the host's products") {
  if (skip_without_device(has_cuda_device())) return;
  check_weights_on_device<Cuda>();
}

TEST_CASE("add_rows kernel on the GPU: ids that repeat, in order") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_add_rows_kernel(device);
}

TEST_CASE("conv1d kernels on the GPU: the host's outputs and gradients") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_conv1d_kernels(device);
  check_conv1d_kernels<4>(device, {{1, 9001, 37}, 33, Windows::shared});  // parts of more than 32 rows
}

TEST_CASE("block_reduce on the GPU: sums and maxima, the same bits for every thread") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_block_reduce(device);
}

TEST_CASE("cross-entropy kernels on the GPU: losses and gradients of rows") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_cross_entropy_kernels(device);
  check_cross_entropy_kernels(device, 5, 50280, 3.0);
}

TEST_CASE("column_sums kernels on the GPU: an expression's sums over rows") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_column_sums_kernels(device);
  check_column_sums_kernels<AssignMode::Add>(device, 9001, 257);
}

TEST_CASE("AdamW kernels on the GPU: the host's updates, sums of squares") {
  if (skip_without_device(has_cuda_device())) return;
  CudaOperations device;
  check_adamw_kernels(device);
  check_sum_of_squares_kernel(device, 3000017);
}
