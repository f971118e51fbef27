#include "support/add_rows_kernel_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("add_rows kernel in the emulator: ids that repeat, in order") {
  EmulatedDevice device(5);
  check_add_rows_kernel(device);
}
