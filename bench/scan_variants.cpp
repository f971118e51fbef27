// All scans of the menu, and the fused selective scan, beside the ceilings of this machine.
//
//   scan_variants [--selection=quick|all] [Google Benchmark's options]
//   scan_variants --shape=B,L,D,N [--threads=T] [Google Benchmark's options]
//   scan_variants --serve [FOLDER]
//
// Variants take turns: three repetitions of each, all in random order (--benchmark_repetitions=1 for one).
//
// Names: columns/<policy>/<forward|backward>/<scalar>/B:…/L:…/D:…/N:…/threads:…  (B·L rows, D·N columns)
//        elements/<policy>/<operator>/any/…/L:…                                  (one sequence of values)
// With --shape it measures B sequences of L steps over D channels of N states, in float, and prints which
// scan is the fastest there. With --serve it reads lines
// "forward|backward|selective-forward|selective-backward|selective-ceiling B L D N threads" and answers each
// with the seconds of one run of SimdChannels, of the fused selective scan (N = 16), or that the latter's
// forward recurrence alone would take, so that another program can measure in turn with it. "values" and
// "selective-values" instead scan what lies in FOLDER and write the results there.

#include "support/own_shape.hpp"
#include "support/scan_server.hpp"
#include "support/scan_suite.hpp"

#if __has_include(<thrust/scan.h>)
#include <sdlora/scan/menu/thrust_host.hpp>
#endif

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <optional>
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

constexpr LinearStep<float> linear_step(std::size_t i) {
  return {0.9F + 0.01F * static_cast<float>(i % 10), 1.0F};
}

/// Thrust comes with CUDA; ThrustHost takes its place beside Sequential where its headers are.
void add_thrust(scan_suite::Suite& suite) {
#if __has_include(<thrust/scan.h>)
  suite.add_policy<ThrustHost>();
  suite.add_element_policy<ThrustHost, LinearRecurrence<float>>("linear", linear_step);
#else
  static_cast<void>(suite);
  std::fputs("scan_variants: without ThrustHost: there was no <thrust/scan.h> when this was built\n", stderr);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  if (argc > 1 && std::string_view(arguments[1]) == "--serve") {
    return scan_suite::serve(argc > 2 ? arguments[2] : ".");
  }
  scan_suite::Selection selection{};
  std::optional<scan_suite::Shape> shape;
  try {
    shape = scan_suite::take_shape(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  if (!scan_suite::take_selection(arguments, selection)) return 1;
  scan_suite::take_turns(arguments);
  if (!scan_suite::take_benchmark_options(arguments)) return 1;

  scan_suite::Suite suite = shape ? scan_suite::Suite(*shape) : scan_suite::Suite(selection);
  ColumnPolicies::for_each([&](auto policy) { suite.add_policy<decltype(policy)>(); });
  GuardedPolicies::for_each([&](auto policy) { suite.add_policy<decltype(policy)>(); });
  suite.add_fused();
  suite.add_operator<LinearRecurrence<float>>("linear", linear_step);
  suite.add_operator<MatrixProduct>("matrix2x2", [](std::size_t i) {
    const float angle = 0.01F * static_cast<float>(i % 7);
    return MatrixProduct::value_type{{1 - angle * angle / 2, angle, -angle, 1 - angle * angle / 2}};
  });
  add_thrust(suite);

  const auto measured = scan_suite::run_registered(suite.register_all());
  if (shape) scan_suite::print_rankings(*shape, measured.reached());
  return measured.failures() > 0 ? 1 : 0;
}
