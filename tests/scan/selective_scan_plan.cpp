#include <sdlora/scan/selective_scan_plan.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

using namespace sdlora;

TEST_CASE("KernelScanPlan: chooses by shape") {
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

TEST_CASE("KernelScanPlan: a segment as long as can be is the whole sequence") {
  const KernelScanShape shape{.rows = 1000, .sequences = 1, .longest = 1000, .channels = 1, .states = 16};
  const KernelScanPlan plan(shape, {.segment_length = std::numeric_limits<std::int64_t>::max()});
  CHECK(plan.segments == 1);
  CHECK(plan.forward_workspace_floats() == 0);
  CHECK(KernelScanPlan(shape, {.segment_length = 1}).segment_length == 16);
  CHECK_THROWS_AS(KernelScanPlan(shape, {.segment_length = -1}), ArgumentError);
}
