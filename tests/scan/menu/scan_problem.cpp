#include <sdlora/scan/menu/detail/kernels/collectives.hpp>
#include <sdlora/scan/menu/detail/kernels/columns.hpp>
#include <sdlora/scan/menu/detail/kernels/plain_collectives.hpp>
#include <sdlora/scan/menu/scan_problem.hpp>

#include "support/emulated_device.hpp"
#include "support/scan_problem_cases.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

static_assert(ScanProblem<LinearScanProblem<float>> && ScanProblem<LinearGradientProblem<BFloat16>> &&
              ScanProblem<ValueScanProblem<LinearRecurrence<double>>>);
static_assert(!ScanProblem<ValueScanProblem<Concatenate>>);

namespace {

/// What scans over all columns as one sequence load and store, in order.
struct InOrder {
  template <class Problem>
  void operator()(const Problem& x) const {
    if (x.has_head()) {
      for (std::int64_t c = 0; c < x.columns; ++c) x.store_head(c);
    }
    const detail::JoinedSteps<Problem> steps{x};
    auto state = x.joined_op().identity();
    for (std::int64_t i = 0; i < steps.size(); ++i) {
      state = x.joined_op()(state, steps.load(i));
      steps.store(i, state);
    }
  }
};

/// The kernels of columns, in the emulator.
template <bool Split>
struct InKernels {
  template <class Problem>
  void operator()(const Problem& x) const {
    EmulatedDevice device(static_cast<std::uint64_t>(x.length));
    const auto blocks = detail::ColumnKernelShape::blocks(x.columns);
    if (x.has_head()) device.template run<detail::HeadKernel<Problem>>(blocks, 0, x);
    if constexpr (Split) {
      const auto count = x.columns * detail::piece_count(x.length, x.columns);
      std::vector<typename Problem::value_type> aggregates(static_cast<std::size_t>(count));
      detail::scan_pieces(device, x, aggregates.data());
    } else {
      device.template run<detail::ColumnKernel<Problem>>(blocks, 0, x);
    }
  }
};

enum class By { warp, block, tile };

template <class Problem, By Way>
struct CollectiveKernel {
  using V = typename Problem::value_type;
  static constexpr int threads = detail::block_scan_threads;
  struct Arguments {
    Problem x;
    V* slots;         // the blocks run one after another and share them
    const V* before;  // each tile
  };
  template <class Block>
  static void run(Block& block, const Arguments& in) {
    const Problem& x = in.x;
    if constexpr (Way == By::warp) {
      const std::int64_t c = block.index() * detail::warp_scan_warps + block.thread() / 32;
      if (c >= x.columns) return;
      detail::PlainWarp<V, Block> warp{block, in.slots};
      detail::scan_column_by_warp(x, c, block.thread() % 32, warp);
    } else if constexpr (Way == By::block) {
      detail::PlainBlock<V, Block> whole{block, in.slots, x.op().identity()};
      detail::scan_column_by_block(x, block.index(), block.thread(), whole);
    } else {
      detail::PlainBlock<V, Block> whole{block, in.slots, in.before[block.index()]};
      detail::scan_joined_tile(detail::JoinedSteps<Problem>{x}, block.index(), block.thread(), whole);
    }
  }
};

template <By Way>
struct InCollectives {
  template <class Problem>
  void operator()(const Problem& x) const {
    using V = typename Problem::value_type;
    EmulatedDevice device(static_cast<std::uint64_t>(x.length + 5));
    if (x.has_head()) {
      device.template run<detail::HeadKernel<Problem>>(detail::ColumnKernelShape::blocks(x.columns), 0, x);
    }
    std::vector<V> slots(detail::block_scan_tile), before;
    std::int64_t blocks = x.columns;
    if (Way == By::warp) blocks = detail::ceil_div(x.columns, detail::warp_scan_warps);
    if (Way == By::tile) {
      const detail::JoinedSteps<Problem> steps{x};
      V sum = x.joined_op().identity();
      for (std::int64_t i = 0; i < steps.size(); ++i) {
        if (i % detail::block_scan_tile == 0) before.push_back(sum);
        sum = x.joined_op()(sum, steps.load(i));
      }
      blocks = static_cast<std::int64_t>(before.size());
    }
    device.template run<CollectiveKernel<Problem, Way>>(blocks, 0, {x, slots.data(), before.data()});
  }
};

template <class Run>
void check_all(const Run& run) {
  check_scan_problems<EmulatedDevice, float>(run);
  const ProblemData<double> doubles(65, 3);
  check_linear_problem<EmulatedDevice>(doubles, run);
  check_gradient_problem<EmulatedDevice>(doubles, run);
  const ProblemData<BFloat16> narrow(65, 3);
  check_linear_problem<EmulatedDevice>(narrow, run);
  check_gradient_problem<EmulatedDevice>(narrow, run);
  with_extreme_decays<double>(3, [&](const ProblemData<double>& data) {
    check_linear_problem<EmulatedDevice>(data, run);
    check_gradient_problem<EmulatedDevice>(data, run);
  });
  for (const std::int64_t length : problem_lengths) check_value_problem<EmulatedDevice>(length, run);
}

}  // namespace

TEST_CASE("scan problems: columns one after another") { check_all(InOrder{}); }

TEST_CASE("scan problems: one thread per column") { check_all(InKernels<false>{}); }

TEST_CASE("scan problems: time split into pieces") { check_all(InKernels<true>{}); }

// The bodies of the kernels on CUB's collectives, with plain ones: lengths about a warp's and a tile's.
TEST_CASE_TEMPLATE("scan problems: the threads of a warp or block together", Run, InCollectives<By::warp>,
                   InCollectives<By::block>, InCollectives<By::tile>) {
  for (const std::int64_t length : {1, 33, 131, 1025}) {
    const ProblemData<float> data(length, 5);
    check_linear_problem<EmulatedDevice>(data, Run{});
    check_gradient_problem<EmulatedDevice>(data, Run{});
    check_value_problem<EmulatedDevice>(length, Run{});
  }
  const ProblemData<BFloat16> narrow(65, 3);
  check_linear_problem<EmulatedDevice>(narrow, Run{});
  check_gradient_problem<EmulatedDevice>(narrow, Run{});
  with_extreme_decays<double>(2, [](const ProblemData<double>& data) {
    check_linear_problem<EmulatedDevice>(data, Run{});
    check_gradient_problem<EmulatedDevice>(data, Run{});
  });
}

TEST_CASE("a column forgets one before it that is no number") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> a{0.5F, 0.5F, 0.5F, 0.5F}, b{1, nan, 2, 3};
  std::vector<float> h(4);
  LinearScanProblem<float> x;
  x.length = 2;
  x.columns = 2;
  x.column_stride = 2;
  x.a = a.data();
  x.b = b.data();
  x.h = h.data();
  InOrder{}(x);
  CHECK(std::isnan(h[1]));
  CHECK(h[2] == 2);
  CHECK(h[3] == 4);
}

TEST_CASE("places in joined columns, beyond 32 bits as well") {
  LinearScanProblem<float> x;
  x.columns = 3;
  x.length = 7;
  const auto at = [&](std::int64_t i) {
    return detail::JoinedSteps<LinearScanProblem<float>>{x}.place_of(i);
  };
  CHECK(at(6).t == 6);
  CHECK(at(6).c == 0);
  CHECK(at(20).t == 6);
  CHECK(at(20).c == 2);
  x.length = std::int64_t{1} << 31;
  CHECK(at((std::int64_t{1} << 32) + 5).t == 5);
  CHECK(at((std::int64_t{1} << 32) + 5).c == 2);
  x.length = (std::int64_t{1} << 32) + 1;
  CHECK(at((std::int64_t{1} << 33) + 1).t == (std::int64_t{1} << 32));
  CHECK(at((std::int64_t{1} << 33) + 1).c == 1);
  CHECK(at(std::int64_t{1} << 31).c == 0);
}

TEST_CASE("pieces of time depend on the shape alone") {
  CHECK(detail::piece_length(1000, 1) == 64);
  CHECK(detail::piece_count(1000, 1) == 16);
  CHECK(detail::piece_length(65536, 65536) == 1024);
  CHECK(detail::piece_count(1, 5) == 1);
}
