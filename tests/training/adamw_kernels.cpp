#include "support/adamw_kernel_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("AdamW kernels in the emulator: the host's updates, sums of squares") {
  EmulatedDevice device(5);
  check_adamw_kernels(device);
}

TEST_CASE("AdamW kernels: sums of squares have a fixed number of parts for a count, at most 1024") {
  using sdlora::detail::sum_of_squares_parts;
  CHECK(sum_of_squares_parts(0) == 0);
  CHECK(sum_of_squares_parts(2049) == 2);
  CHECK(sum_of_squares_parts(std::size_t{1} << 40) == 1024);
}
