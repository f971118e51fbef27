// A scan algorithm and an operator of one's own, used, checked and measured beside the built-in ones.
//
//   custom_scan [Google Benchmark's options]

#include "../bench/support/scan_suite.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <sdlora/scan/menu/menu.hpp>
#include <span>
#include <vector>

namespace {

/// The best score of a path that gains `gain` per step or starts afresh with `start`:
/// h ↦ max(h + gain, start). Composition as for linear steps, with (max, +) for (+, ·).
struct BestPath {
  struct value_type {
    float gain = 0;
    float start = -std::numeric_limits<float>::infinity();
    bool operator==(const value_type&) const = default;
  };
  constexpr value_type operator()(const value_type& first, const value_type& second) const {
    return {first.gain + second.gain, std::max(first.start + second.gain, second.start)};
  }
  static constexpr value_type identity() { return {}; }
};
static_assert(sdlora::AssociativeOperator<BestPath>);

/// The tree of Brent and Kung: as Blelloch's, but inclusive, in place, and for any length.
/// Work 2L, depth 2 log₂ L.
struct BrentKung {
  static constexpr std::string_view name = "brent_kung";

  template <sdlora::AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> x, const Op& op, sdlora::Workspace&) {
    std::size_t d = 1;
    for (; d < x.size(); d *= 2) {
      for (std::size_t i = 2 * d - 1; i < x.size(); i += 2 * d) x[i] = op(x[i - d], x[i]);
    }
    for (; d > 0; d /= 2) {
      for (std::size_t i = 3 * d - 1; i < x.size(); i += 2 * d) x[i] = op(x[i - d], x[i]);
    }
  }
};
static_assert(sdlora::ScanPolicy<BrentKung>);

}  // namespace

int main(int argc, char** argv) {
  // Small whole numbers, so that float is exact and the order of evaluation cannot show.
  std::vector<BestPath::value_type> steps(1000), expected(steps.size()), found(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i] = {static_cast<float>(i * 7 % 11) - 5.0F, static_cast<float>(i * 5 % 13)};
  }
  for (const auto direction : {sdlora::ScanDirection::Forward, sdlora::ScanDirection::Reverse}) {
    sdlora::scan(sdlora::Sequential{}, steps, expected, {.direction = direction}, BestPath{});
    sdlora::scan(BrentKung{}, steps, found, {.direction = direction}, BestPath{});
    if (found != expected) {
      std::fprintf(stderr, "custom_scan: BrentKung and Sequential differ\n");
      return 1;
    }
  }
  std::printf("BrentKung agrees with Sequential; the best path ends with %g\n",
              static_cast<double>(expected.front().start));

  std::vector<char*> arguments(argv, argv + argc);
  scan_suite::take_turns(arguments);
  if (!scan_suite::take_benchmark_options(arguments)) return 1;
  scan_suite::Suite suite(scan_suite::Selection::quick);
  suite.add_policy<BrentKung>();
  suite.add_operator<BestPath>("best_path", [](std::size_t i) {
    return BestPath::value_type{static_cast<float>(i % 3) - 1.0F, static_cast<float>(i % 5)};
  });
  return scan_suite::run_registered(suite.register_all()).failures() > 0 ? 1 : 0;
}
