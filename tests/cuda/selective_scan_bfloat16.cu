#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("selective scan on the GPU: bfloat16") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice device;
  check_scan_kernels_cut<BFloat16>(device, {8, 32});
  check_scan_kernels<BFloat16, false, 16>(device, {.lengths = {65, 64}, .channels = 130, .states = 16});
}
