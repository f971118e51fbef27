#include "support/conv1d_kernel_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("conv1d kernels in the emulator: the host's outputs and gradients") {
  EmulatedDevice device(5);
  check_conv1d_kernels(device);
}

TEST_CASE("conv1d kernels: more rows do not make more than 256 parts") {
  using namespace sdlora::detail;
  CHECK(conv1d_parts(0) == 0);
  CHECK(conv1d_parts(1) == 1);
  CHECK(conv1d_parts(33) == 2);
  CHECK(conv1d_parts(32 * 256) == 256);
  CHECK(conv1d_parts(32 * 256 + 1) == 249);  // of 33 rows
  CHECK(conv1d_parts(1 << 20) == 256);
}
