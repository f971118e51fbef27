// All scans of the menu, and the fused selective scan, beside the ceilings of this machine.
//
//   scan_variants [--selection=quick|all] [Google Benchmark's options]
//   scan_variants --serve
//
// Variants take turns: three repetitions of each, all in random order (--benchmark_repetitions=1 for one).
//
// Names: columns/<policy>/<forward|backward>/<scalar>/B:…/L:…/D:…/N:…/threads:…  (B·L rows, D·N columns)
//        elements/<policy>/<operator>/any/…/L:…                                  (one sequence of values)
// With --serve it reads lines "forward|backward|selective-forward|selective-backward|selective-ceiling B L D
// N threads" and answers each with the seconds of one run of SimdChannels, of the fused selective scan (N =
// 16), or that the latter's forward recurrence alone would take, so that another program can measure in turn
// with it.

#include "support/bare_scan.hpp"
#include "support/scan_suite.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace sdlora;

/// 2×2 matrices: an operator that is neither commutative nor cheap.
struct MatrixProduct {
  struct value_type {
    float m[4] = {1, 0, 0, 1};
  };
  constexpr value_type operator()(const value_type& x, const value_type& y) const {
    return {{x.m[0] * y.m[0] + x.m[1] * y.m[2], x.m[0] * y.m[1] + x.m[1] * y.m[3],
             x.m[2] * y.m[0] + x.m[3] * y.m[2], x.m[2] * y.m[1] + x.m[3] * y.m[3]}};
  }
  static constexpr value_type identity() { return {}; }
};

/// One run of the fused selective scan, after one that wakes the threads; its arrays are kept for the next
/// one of the same shape.
double selective_seconds(const scan_suite::Shape& shape, bool backward) {
  static std::unique_ptr<scan_suite::Fused<16, float>> last;
  if (!last || !(last->shape == shape)) {
    last = std::make_unique<scan_suite::Fused<16, float>>(shape);
    last->run_forward();
  }
  scan_suite::use_threads(shape.threads);
  const auto run = [&] { backward ? last->run_backward() : last->run_forward(); };
  run();
  return scan_suite::seconds_of(run);
}

/// What the forward recurrence alone would take if all threads ran it as one does with everything in its
/// first cache: no implementation of the scan with these operations is faster. The best of all calls.
double ceiling_seconds(const scan_suite::Shape& shape) {
  constexpr std::size_t rows = 96, states = 16, channels = simd_width<float>;
  Workspace memory;
  const auto make = [&](std::size_t cols, double low, double high) {
    const auto values = memory.take<float>(rows * cols);
    scan_suite::fill<float>(values, low, high);
    return MatrixView<float>(values.data(), rows, cols);
  };
  const auto dt = make(channels, 0, 0.1), u = make(channels, -1, 1), B = make(states, -1, 1),
             C = make(states, -1, 1), A = make(states * channels, -16, -1), y = make(channels, 0, 0);
  static double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 200; ++i) {
    best = std::min(
        best, scan_suite::seconds_of([&] { bench::bare_scan<states>(dt, u, B, C, A.data, y, 0, channels); }));
  }
  return best * static_cast<double>(shape.elements()) / (rows * states * channels) /
         static_cast<double>(shape.threads);
}

/// One run of SimdChannels, after one that wakes the threads.
double column_seconds(const scan_suite::Shape& shape, bool backward) {
  auto& x = scan_suite::columns_of<float>(shape);
  if (backward) x.with_gradients();
  scan_suite::use_threads(shape.threads);
  const auto run = [&] {
    if (backward) {
      scan_backward(SimdChannels{}, x.a, x.h, x.d_h, x.d_a, x.d_b, {}, x.options());
    } else {
      scan(SimdChannels{}, x.a, x.b, x.h, x.options());
    }
  };
  run();
  return scan_suite::seconds_of(run);
}

int serve() {
  std::string direction;
  scan_suite::Shape shape;
  while (std::cin >> direction >> shape.B >> shape.L >> shape.D >> shape.N >> shape.threads) {
    if (direction.starts_with("selective-") && shape.N != 16) {
      std::fprintf(stderr, "scan_variants --serve: the selective scan is served for N = 16 only, not %zu\n",
                   shape.N);
      return 1;
    }
    std::printf("%.9f\n", direction == "selective-ceiling" ? ceiling_seconds(shape)
                          : direction.starts_with("selective-")
                              ? selective_seconds(shape, direction == "selective-backward")
                              : column_seconds(shape, direction == "backward"));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  for (const std::string_view argument : arguments) {
    if (argument == "--serve") return serve();
  }
  scan_suite::Selection selection{};
  if (!scan_suite::take_selection(arguments, selection)) return 1;
  scan_suite::take_turns(arguments);
  if (!scan_suite::take_benchmark_options(arguments)) return 1;

  scan_suite::Suite suite(selection);
  ColumnPolicies::for_each([&](auto policy) { suite.add_policy<decltype(policy)>(); });
  GuardedPolicies::for_each([&](auto policy) { suite.add_policy<decltype(policy)>(); });
  suite.add_fused();
  suite.add_operator<LinearRecurrence<float>>("linear", [](std::size_t i) {
    return LinearStep<float>{0.9F + 0.01F * static_cast<float>(i % 10), 1.0F};
  });
  suite.add_operator<MatrixProduct>("matrix2x2", [](std::size_t i) {
    const float angle = 0.01F * static_cast<float>(i % 7);
    return MatrixProduct::value_type{{1 - angle * angle / 2, angle, -angle, 1 - angle * angle / 2}};
  });

  return scan_suite::run_registered(suite.register_all()) > 0 ? 1 : 0;
}
