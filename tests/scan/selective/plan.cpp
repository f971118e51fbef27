#include <sdlora/scan/selective/detail/kernels/plan.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

using namespace sdlora;
using namespace sdlora::detail;

TEST_CASE("KernelScanPlan: chooses by shape") {
  // Segments are cut where B·E channels give fewer than 264 blocks of 128 threads, each of up to 16 states of
  // a channel, towards 528 blocks, into multiples of 128 steps. Each row differs from another by one of B, E,
  // L and N.
  struct Row {
    std::int64_t B, L;
    int E, N;
    std::int64_t segments;
  };
  for (const Row& row :
       {Row{1, 65536, 256, 16, 256}, Row{1, 4096, 256, 16, 32}, Row{1, 1024, 256, 16, 8},
        Row{1, 512, 256, 16, 4}, Row{1, 511, 256, 16, 1}, Row{1, 4096, 128, 16, 32},
        Row{1, 65536, 128, 16, 512}, Row{131, 65536, 256, 16, 3}, Row{132, 65536, 256, 16, 1},
        Row{132, 65536, 128, 16, 4}, Row{132, 65536, 128, 32, 1}, Row{132, 65536, 128, 17, 1},
        Row{1, 65536, 33665, 16, 1}, Row{1, 65536, 33664, 16, 2}, Row{1, 65536, 2048, 16, 32},
        Row{1, 65536, 2112, 256, 1}, Row{1, 65536, 2104, 256, 2}, Row{1, 65536, 1024, 256, 5}}) {
    CAPTURE(row.B);
    CAPTURE(row.L);
    CAPTURE(row.E);
    CAPTURE(row.N);
    const KernelScanPlan plan(
        {.rows = row.B * row.L, .sequences = row.B, .longest = row.L, .channels = row.E, .states = row.N});
    CHECK(plan.segments == row.segments);
    CHECK(plan.split() == (row.segments > 1));
    CHECK(plan.segment_length % plan.checkpoint_interval == 0);
  }
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
