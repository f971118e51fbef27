#include "support/block_reduce_cases.hpp"
#include "support/emulated_device.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("block_reduce: sums and maxima, the same bits for every thread") {
  EmulatedDevice device(5);
  check_block_reduce(device);
}
