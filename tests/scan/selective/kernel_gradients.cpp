// The kernels with other types than all gradients in float: bfloat16, and each set of gradients by itself.
#include <sdlora/scan/selective/detail/kernels/runs.hpp>

#include "support/emulated_device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;
using Gradients = SelectiveScanGradients;

TEST_CASE("scan kernels: bfloat16, with and without a gate, without vectors") {
  EmulatedDevice device(2);
  const ScanCase c{.lengths = {21, 5}, .channels = 70, .states = 16, .interval = 16};
  check_scan_kernels<BFloat16, true, 16>(device, c);
  check_scan_kernels<BFloat16, false, 16>(device, c);
  check_scan_kernels<float, false, 5>(device, {.lengths = {21, 5},
                                               .channels = 6,
                                               .states = 5,
                                               .interval = 32,
                                               .with_states = false,
                                               .with_vectors = false});
}

TEST_CASE("scan kernels: bfloat16, rows that can be moved four values at once") {
  EmulatedDevice device(13);
  const ScanCase c{.lengths = {21, 5}, .channels = 68, .states = 16, .interval = 16, .padding = 4};
  check_scan_kernels<BFloat16, true, 16>(device, c);
  check_scan_kernels<BFloat16, false, 16>(device, c);
}

TEST_CASE("scan kernels: only the gradients asked for") {
  EmulatedDevice device(8);
  const ScanCase c{.lengths = {11, 18}, .channels = 9, .states = 16};
  check_scan_kernels<float, true, 16, Gradients{.u = true}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.C = true}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.B = true, .A = AGradient::All}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.dt = true, .z = true, .D = true}>(device, c);
  check_scan_kernels<float, true, 16, Gradients{.dt_bias = true, .initial_state = true}>(device, c);
}

TEST_CASE("scan kernels: bfloat16, A's gradient of selected channels") {
  EmulatedDevice device(10);
  check_scan_kernels<BFloat16, true, 16, Gradients{.u = true, .B = true, .A = AGradient::SelectedChannels}>(
      device, {.lengths = {21}, .channels = 6, .states = 16, .selected = {1, 2, 5}});
}
