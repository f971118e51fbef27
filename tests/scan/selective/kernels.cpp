#include <sdlora/scan/selective/detail/kernels/runs.hpp>

#include "support/emulated_device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using Gradients = SelectiveScanGradients;

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

TEST_CASE("scan kernels: decays near 1 and 0, gates wide open and shut") {
  EmulatedDevice device(8);
  const auto check = [&](ScanCase::Range dt, ScanCase::Range A, ScanCase::Range z) {
    for (const std::int64_t segment : {0, 32}) {
      check_scan_kernels<float, true>(device, {.lengths = {150, 7},
                                               .channels = 5,
                                               .states = 16,
                                               .segment_length = segment,
                                               .dt = dt,
                                               .A = A,
                                               .z = z});
    }
  };
  check({-12, -8}, {-0.01, 0}, {-4, 4});  // a is 1 but for 1e-6
  check({-6, 1}, {0, 0}, {-4, 4});        // a = 1
  check({5, 300}, {-50, -8}, {-4, 4});    // a = 0, and softplus is its argument
  check({-80, 300}, {-8, -0.01}, {-60, 200});
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
  // As the plan itself cuts few channels over many steps.
  CHECK(detail::KernelScanPlan({.rows = 601, .sequences = 1, .longest = 601, .channels = 3, .states = 4})
            .split());
  check_scan_kernels<float, true>(device, {.lengths = {601}, .channels = 3, .states = 4});
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
  // All gradients are written, also where there is nothing to sum.
  for (const auto& lengths : std::vector<std::vector<std::int64_t>>{{}, {0}, {0, 0}, {1}}) {
    check_scan_kernels<float, true>(device, {.lengths = lengths, .channels = 3, .states = 4});
    check_scan_kernels<float, true, 5, Gradients{.A = AGradient::SelectedChannels}>(
        device, {.lengths = lengths, .channels = 9, .states = 5, .selected = {0, 7}});
  }
  check_scan_kernels<float, true>(device, {.lengths = {0, 9, 0}, .channels = 3, .states = 4});
  check_scan_kernels<float, true>(device,
                                  {.lengths = {0, 20, 0}, .channels = 3, .states = 4, .segment_length = 8});
}

TEST_CASE("scan kernels: A's gradient of selected channels") {
  EmulatedDevice device(9);
  const auto check = [&](std::vector<int> selected, int channels, std::int64_t segment) {
    check_scan_kernels<float, true, 5, Gradients{.A = AGradient::SelectedChannels}>(
        device, {.lengths = {11, 18},
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

TEST_CASE("scan kernels: sequences that share their initial state sum its gradient") {
  EmulatedDevice device(10);
  for (const std::int64_t segment : {0, 8}) {
    for (const auto& lengths : std::vector<std::vector<std::int64_t>>{{}, {0}, {7}, {21, 0, 1, 12}}) {
      check_scan_kernels<float, true, 5>(device, {.lengths = lengths,
                                                  .channels = 7,
                                                  .states = 5,
                                                  .segment_length = segment,
                                                  .shared_initial_state = true});
    }
  }
}

TEST_CASE_TEMPLATE("scan kernels: the order of threads and blocks changes no bit", IO, float, BFloat16) {
  // Two groups of channels and several sequences, so that all sums are of several parts.
  for (const std::int64_t segment : {0, 16}) {
    const ScanCase c{.lengths = {10, 33, 21}, .channels = 130, .states = 16, .segment_length = segment};
    std::vector<std::uint32_t> first;
    for (std::uint64_t seed = 20; seed < 24; ++seed) {
      EmulatedDevice device(seed);
      const auto bits = check_scan_kernels<IO, true, 16>(device, c);
      if (first.empty()) first = bits;
      CHECK(bits == first);
    }
  }
}

TEST_CASE("scan kernels: their shared memory fits a block of the smallest device") {
  // 163 KiB on sm_80; the backward of up to 16 states runs three blocks on a multiprocessor of 164 KiB, each
  // with 1 KiB of its own.
  const auto backward = [](auto states, auto lanes, int interval) {
    using Kernel = detail::BackwardKernel<float, decltype(states)::value, decltype(lanes)::value, true,
                                          SelectiveScanGradients::all()>;
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

namespace {

/// A call that fits its plan, to be spoilt.
struct Call {
  static constexpr int E = 3, N = 4;
  static constexpr std::size_t M = 5;
  detail::KernelScanPlan plan{{.rows = 5, .sequences = 1, .longest = 5, .channels = E, .states = N},
                              {.checkpoint_interval = 8}};
  std::vector<float> wide = std::vector<float>(M * E, 0.5F), narrow = std::vector<float>(M * N, 0.5F),
                     A = std::vector<float>(E * N, -1), results = std::vector<float>(100);
  alignas(16) float checkpoints[64] = {};
  float scratch[256] = {};
  std::vector<std::int64_t> offsets{0, 5};
  detail::KernelInputs<float> in;
  detail::KernelOutputs<float> out;
  detail::KernelGradients<float> gradients;

  Call() {
    in.u = in.dt = in.z = {wide.data(), M, E};
    in.B = in.C = {narrow.data(), M, N};
    in.A = A.data();
    in.offsets = offsets.data();
    out.out = {results.data(), M, E};
    out.checkpoints = checkpoints;
    gradients.u = {results.data() + 16, M, E};
    gradients.z = {results.data() + 32, M, E};
    gradients.B = {results.data() + 48, M, N};
    gradients.A = results.data() + 70;
  }
  void forward() {
    EmulatedDevice device;
    detail::run_scan_forward<float, N, true>(device, plan, in, out, nullptr);
  }
  template <Gradients Wanted = {.u = true, .B = true, .z = true, .A = AGradient::All}>
  void backward() {
    EmulatedDevice device;
    REQUIRE(plan.backward_workspace_floats(Wanted) <= 256);
    detail::run_scan_backward<float, N, true, Wanted>(device, plan, in, out.checkpoints, {wide.data(), M, E},
                                                      {}, gradients, scratch);
  }
};

template <class Error, class Spoil>
void check_refused(const char* what, bool forward_too, Spoil spoil) {
  CAPTURE(what);
  Call call;
  spoil(call);
  if (forward_too) CHECK_THROWS_WITH_AS(call.forward(), doctest::Contains(what), Error);
  CHECK_THROWS_WITH_AS(call.backward(), doctest::Contains(what), Error);
}

}  // namespace

TEST_CASE("scan kernels: a call that does not fit its plan is refused before anything runs") {
  Call call;
  call.forward();
  call.backward();
  check_refused<ShapeError>("u is (4, 3) but must be (5, 3)", true, [](Call& c) { c.in.u.rows = 4; });
  check_refused<ShapeError>("dt is (5, 2) but must be (5, 3)", true, [](Call& c) { c.in.dt.cols = 2; });
  check_refused<ShapeError>("dt has rows of 3 values at a distance of 2", true,
                            [](Call& c) { c.in.dt.stride = 2; });
  check_refused<ShapeError>("z is (6, 3) but must be (5, 3)", true, [](Call& c) { c.in.z.rows = 6; });
  check_refused<ShapeError>(
      "B is (0, 0) but must be (5, 4), one row per row of the plan and one column per state", true,
      [](Call& c) { c.in.B = {}; });
  check_refused<ShapeError>("u has no data", true, [](Call& c) { c.in.u.data = nullptr; });
  check_refused<ShapeError>("C is (5, 3) but must be (5, 4)", true, [](Call& c) { c.in.C.cols = 3; });
  check_refused<ArgumentError>("A is null", true, [](Call& c) { c.in.A = nullptr; });
  check_refused<ArgumentError>("offsets is null", true, [](Call& c) { c.in.offsets = nullptr; });
  check_refused<ArgumentError>("aligned to 16 bytes", true, [](Call& c) { ++c.out.checkpoints; });
  check_refused<ShapeError>("the gradient of u is (0, 0) but must be (5, 3)", false,
                            [](Call& c) { c.gradients.u = {}; });
  check_refused<ShapeError>("the gradient of z is (1, 3) but must be (5, 3)", false,
                            [](Call& c) { c.gradients.z.rows = 1; });
  check_refused<ShapeError>("the gradient of B is (5, 1) but must be (5, 4)", false,
                            [](Call& c) { c.gradients.B.cols = 1; });
  check_refused<ArgumentError>("the gradient of A is null", false, [](Call& c) { c.gradients.A = nullptr; });
  check_refused<ArgumentError>("checkpoints is null", false, [](Call& c) { c.out.checkpoints = nullptr; });
  check_refused<ShapeError>("the gradient of z is asked for", false, [](Call& c) {
    c.forward();
    c.in.z = {};
  });

  call.out.out = {};
  CHECK_THROWS_WITH_AS(call.forward(), doctest::Contains("out is (0, 0) but must be (5, 3)"), ShapeError);
  for (const int count : {-1, 4}) {
    call.gradients.selected_count = count;
    CHECK_THROWS_WITH_AS(call.backward<Gradients{.A = AGradient::SelectedChannels}>(),
                         doctest::Contains("at most 3 selected"), ArgumentError);
  }
  call.gradients.selected_count = 1;
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.A = AGradient::SelectedChannels}>(),
                       doctest::Contains("selected is null"), ArgumentError);
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.D = true}>(), doctest::Contains("the gradient of D is null"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.dt_bias = true}>(),
                       doctest::Contains("the gradient of dt_bias is null"), ArgumentError);
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.initial_state = true}>(),
                       doctest::Contains("the gradient of the initial state is null"), ArgumentError);
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.dt = true}>(),
                       doctest::Contains("the gradient of dt is (0, 0) but must be (5, 3)"), ShapeError);
  CHECK_THROWS_WITH_AS(call.backward<Gradients{.C = true}>(),
                       doctest::Contains("the gradient of C is (0, 0) but must be (5, 4)"), ShapeError);
}

TEST_CASE("scan kernels: gradients that depend on no state need none that were kept") {
  Call call;
  call.out.checkpoints = nullptr;
  call.forward();
  call.backward<Gradients{.u = true, .B = true}>();
}
