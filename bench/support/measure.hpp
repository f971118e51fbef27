#pragma once

// One variant of the CPU's suite under Google Benchmark: its shape, and what is reported of it.

#include "ceilings.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <sdlora/error.hpp>
#include <string>
#include <vector>

namespace scan_suite {

/// B sequences of L steps over D channels of N states each: matrices of (B·L, D·N).
struct Shape {
  std::size_t B = 1, L = 512, D = 1, N = 16, threads = 1;

  std::size_t rows() const { return B * L; }
  std::size_t columns() const { return D * N; }
  std::size_t elements() const { return rows() * columns(); }
  std::string text() const {
    return "/B:" + std::to_string(B) + "/L:" + std::to_string(L) + "/D:" + std::to_string(D) +
           "/N:" + std::to_string(N) + "/threads:" + std::to_string(threads);
  }
  std::vector<std::size_t> offsets() const {
    std::vector<std::size_t> cuts(B + 1);
    for (std::size_t s = 0; s <= B; ++s) cuts[s] = s * L;
    return cuts;
  }
  friend bool operator==(const Shape&, const Shape&) = default;
};

/// Runs `f` under Google Benchmark and reports what the fastest run reached: neighbours on the machine
/// only ever make runs slower. `bytes` must move at the least.
template <class T>
void measure(benchmark::State& state, const Shape& shape, double elements, double bytes,
             const std::function<void()>& f) {
  const double bare = Ceilings::instance().bare<State<T>>(shape.threads);
  const double copy = Ceilings::instance().copy(static_cast<std::size_t>(bytes / 2), shape.threads);
  use_threads(shape.threads);
  double best = std::numeric_limits<double>::infinity();
  int samples = 0;
  try {
    f();
    for (auto _ : state) {
      const double seconds = seconds_of(f);
      state.SetIterationTime(seconds);
      best = std::min(best, seconds);
      ++samples;
    }
    for (; samples < 2; ++samples) best = std::min(best, seconds_of(f));
  } catch (const ArgumentError&) {
    state.SkipWithError("refused: outside of the policy's domain");
    return;
  }
  state.counters["best_ns_per_element"] = best * 1e9 / elements;
  state.counters["GB_per_s"] = bytes / best * 1e-9;
  state.counters["copy_GB_per_s"] = copy * 1e-9;
  state.counters["bare_ns_per_element"] = bare;
  state.counters["of_copy"] = bytes / best / copy;
  state.counters["of_bare"] = bare * elements * 1e-9 / best;
}

}  // namespace scan_suite
