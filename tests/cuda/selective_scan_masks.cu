#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("selective scan on the GPU: only the gradients asked for") {
  if (skip_without_device(has_cuda_device())) return;
  using Bit = KernelScanGradient;
  CudaDevice device;
  const ScanCase c{.lengths = {111, 18}, .channels = 99, .states = 16};
  check_scan_kernels<float, true, 16, Bit::u>(device, c);
  check_scan_kernels<float, true, 16, Bit::A | Bit::B>(device, c);
  check_scan_kernels<float, true, 16, Bit::dt | Bit::z | Bit::D>(device, c);
  check_scan_kernels<float, true, 16, Bit::C | Bit::dt_bias | Bit::initial>(device, c);
  check_scan_kernels<float, true, 16, Bit::A_selected | Bit::dt>(
      device, {.lengths = {111, 18}, .channels = 99, .states = 16, .selected = {0, 17, 64, 98}});
}
