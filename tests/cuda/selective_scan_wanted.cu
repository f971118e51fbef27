#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;
using Gradients = SelectiveScanGradients;

TEST_CASE("selective scan on the GPU: only the gradients asked for") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice device;
  const ScanCase c{.lengths = {111, 18}, .channels = 99, .states = 16};
  check_scan_kernels<float, true, 16, Gradients{.u = true}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.B = true, .A = AGradient::All}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.dt = true, .z = true, .D = true}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.C = true, .dt_bias = true, .initial_state = true}>(device,
                                                                                                    c);
  check_scan_kernels<float, true, 16, Gradients{.dt = true, .A = AGradient::SelectedChannels}>(
      device, {.lengths = {111, 18}, .channels = 99, .states = 16, .selected = {0, 17, 64, 98}});
}
