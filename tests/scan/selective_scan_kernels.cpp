#include <sdlora/scan/selective_scan_kernels.hpp>

#include "support/emulated_device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("scan kernels: every number of states, odd lengths, several sequences") {
  EmulatedDevice device;
  for (const int states : {1, 2, 3, 4, 7, 8, 13, 16}) {
    check_scan_kernels<float, true>(device, {.lengths = {19, 1, 8}, .channels = 5, .states = states});
  }
  check_scan_kernels<float, true>(device, {.lengths = {37}, .channels = 67, .states = 16, .interval = 16});
}

TEST_CASE("scan kernels: states over several threads") {
  EmulatedDevice device(5);
  for (const int states : {17, 32, 50, 64, 100, 256}) {
    check_scan_kernels<float, true>(device,
                                    {.lengths = {9, 12}, .channels = 3, .states = states, .interval = 8});
  }
}

TEST_CASE("scan kernels: rows that can be moved four values at once") {
  EmulatedDevice device(12);
  for (const int states : {4, 8, 16, 20, 64}) {
    check_scan_kernels<float, true>(
        device, {.lengths = {11, 1, 8}, .channels = 12, .states = states, .interval = 16, .padding = 4});
  }
  // One of the two kinds of rows only: 15 states, 13 channels.
  check_scan_kernels<float, true>(device, {.lengths = {9}, .channels = 8, .states = 15, .padding = 4});
  check_scan_kernels<float, true>(device, {.lengths = {9}, .channels = 13, .states = 16, .padding = 0});
}

TEST_CASE("scan kernels: time split into segments") {
  EmulatedDevice device(3);
  for (const std::int64_t segment : {8, 16, 32}) {
    check_scan_kernels<float, true>(
        device,
        {.lengths = {45, 3, 70}, .channels = 9, .states = 16, .interval = 8, .segment_length = segment});
  }
  check_scan_kernels<float, true>(
      device, {.lengths = {150}, .channels = 2, .states = 3, .interval = 32, .segment_length = 64});
}

TEST_CASE("scan kernels: checkpoints further apart than chunks") {
  EmulatedDevice device(4);
  for (const int interval : {16, 32, 64}) {
    for (const std::int64_t length : {63, 64, 65, 130}) {
      check_scan_kernels<float, true>(
          device, {.lengths = {length}, .channels = 2, .states = 4, .interval = interval});
    }
  }
}

TEST_CASE("scan kernels: empty sequences hand their states through") {
  EmulatedDevice device(6);
  check_scan_kernels<float, true>(device, {.lengths = {0, 9, 0}, .channels = 3, .states = 4});
  check_scan_kernels<float, true>(device,
                                  {.lengths = {0, 20, 0}, .channels = 3, .states = 4, .segment_length = 8});
}

TEST_CASE("scan kernels: A's gradient of selected channels") {
  using Bit = KernelScanGradient;
  EmulatedDevice device(9);
  const auto check = [&](std::vector<int> selected, int channels, std::int64_t segment) {
    check_scan_kernels<float, true, 5, Bit::A_selected>(device, {.lengths = {11, 18},
                                                                 .channels = channels,
                                                                 .states = 5,
                                                                 .segment_length = segment,
                                                                 .selected = std::move(selected)});
  };
  check({0, 3, 8}, 9, 0);
  check({8}, 9, 8);
  check({0, 1, 65, 66}, 67, 0);
  check({}, 3, 0);
}

TEST_CASE("scan kernels: the order of threads changes nothing") {
  for (std::uint64_t seed = 20; seed < 24; ++seed) {
    EmulatedDevice device(seed);
    check_scan_kernels<float, true>(device, {.lengths = {10, 3}, .channels = 34, .states = 16});
  }
}

TEST_CASE("scan kernels: their shared memory fits a block of the smallest device") {
  // 163 KiB on sm_80; the backward of up to 16 states runs three blocks on a multiprocessor of 164 KiB, each
  // with 1 KiB of its own.
  const auto backward = [](auto states, auto lanes, int interval) {
    using Kernel = detail::BackwardKernel<float, decltype(states)::value, decltype(lanes)::value, true, true,
                                          KernelScanGradient::all>;
    return Kernel::shared_floats_for(interval) * sizeof(float);
  };
  for (int states = 1; states <= 256; states *= 2) {
    CAPTURE(states);
    detail::with_states<8, 0>(states, [&](auto held, auto lanes) {
      CHECK(backward(held, lanes, 64) <= 163 * 1024);
      if (states <= 16) CHECK(3 * (backward(held, lanes, 16) + 1024) <= 164 * 1024);
    });
  }
}

TEST_CASE("scan kernels: plans choose by shape") {
  const KernelScanPlan wide({.rows = 4096, .sequences = 64, .longest = 64, .channels = 2048, .states = 16});
  CHECK(!wide.split());
  const KernelScanPlan narrow(
      {.rows = 65536, .sequences = 1, .longest = 65536, .channels = 256, .states = 16});
  CHECK(narrow.split());
  CHECK(narrow.segments * 2 >= 264);
  CHECK(narrow.segment_length % narrow.checkpoint_interval == 0);
  CHECK_THROWS_AS(KernelScanPlan({.rows = 1, .sequences = 1, .longest = 1, .channels = 1, .states = 257}),
                  ShapeError);
  CHECK_THROWS_AS(KernelScanPlan({.rows = 1, .sequences = 1, .longest = 2, .channels = 1, .states = 1}),
                  ShapeError);
  constexpr std::int64_t endless = std::int64_t{1} << 31;
  CHECK_THROWS_AS(
      KernelScanPlan({.rows = endless, .sequences = 1, .longest = endless, .channels = 1, .states = 1}),
      ShapeError);
  CHECK_THROWS_AS(KernelScanPlan({.rows = 1, .sequences = 1, .longest = 1, .channels = 1, .states = 1},
                                 {.checkpoint_interval = 12}),
                  ArgumentError);
}
