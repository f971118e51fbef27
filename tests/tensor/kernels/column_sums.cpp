#include "support/column_sums_kernel_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("column_sums kernels in the emulator: an expression's sums over rows") {
  EmulatedDevice device(5);
  check_column_sums_kernels(device);
}

TEST_CASE("column_sums kernels: more rows do not make more than 256 parts") {
  using namespace sdlora::detail;
  CHECK(column_sum_parts(0) == 0);
  CHECK(column_sum_parts(33) == 2);
  CHECK(column_sum_parts(32 * 256 + 1) == 249);  // of 33 rows
  CHECK(column_sum_parts(1 << 20) == 256);
}
