#include "support/cross_entropy_kernel_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("cross-entropy kernels in the emulator: losses and gradients of rows") {
  EmulatedDevice device(5);
  check_cross_entropy_kernels(device);
}
