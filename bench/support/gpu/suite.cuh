#pragma once

// How a variant joins the GPU's suite, is run under Google Benchmark, and what is reported of it.

#include "../program.hpp"
#include "ceilings.cuh"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <sdlora/error.hpp>
#include <sdlora/scan/menu/policy.hpp>
#include <sdlora/tensor/bfloat16.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace gpu_suite {

enum class Direction { forward, backward };

constexpr std::string_view name_of(Direction direction) {
  return direction == Direction::forward ? "forward" : "backward";
}

template <class T>
constexpr std::string_view scalar_name() {
  if constexpr (std::is_same_v<T, float>) {
    return "float";
  } else if constexpr (std::is_same_v<T, double>) {
    return "double";
  } else {
    static_assert(std::is_same_v<T, BFloat16>, "gpu_suite: a scalar type without a name");
    return "bfloat16";
  }
}

/// B sequences of L steps over D channels of N states each, as in the CPU's suite.
struct Shape {
  std::int64_t B = 1, L = 1, D = 1, N = 1;

  std::int64_t columns() const { return D * N; }
  std::int64_t elements() const { return B * L * columns(); }
  std::string text() const {
    return "/B:" + std::to_string(B) + "/L:" + std::to_string(L) + "/D:" + std::to_string(D) +
           "/N:" + std::to_string(N);
  }
};

inline std::string variant_name(std::string_view family, std::string_view policy, Direction direction,
                                std::string_view scalar, const Shape& shape) {
  return std::string(family) + '/' + std::string(policy) + '/' + std::string(name_of(direction)) + '/' +
         std::string(scalar) + shape.text();
}

/// What one run has to do at the least.
struct Work {
  double elements = 0;      ///< steps of states
  double bytes = 0;         ///< read and written
  double positions = 0;     ///< (row, channel) pairs, all states of each; 0: not reported
  double exponentials = 0;  ///< 0: not reported
};

/// Times `run`, on what is stored as T, by events under Google Benchmark and reports what the fastest run
/// reached: neighbours on the device and its clock only ever make runs slower.
template <class T, class F>
void measure(benchmark::State& state, const Work& work, F&& run) {
  const double copy = Ceilings::instance().copy(work.bytes);
  const double bare = Ceilings::instance().bare_steps<recurrence_state_t<T>>();
  Stopwatch watch;
  run();
  run();
  check_cuda(cudaDeviceSynchronize(), "the first run");
  double best = std::numeric_limits<double>::infinity();
  int samples = 0;
  for (auto _ : state) {
    const double seconds = watch.seconds_of(run);
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
    ++samples;
  }
  for (; samples < 5; ++samples) best = std::min(best, watch.seconds_of(run));
  state.counters["best_ns_per_element"] = best * 1e9 / work.elements;
  state.counters["GB_per_s"] = work.bytes / best * 1e-9;
  state.counters["copy_GB_per_s"] = copy * 1e-9;
  state.counters["bare_ns_per_element"] = 1e9 / bare;
  const double of_copy = work.bytes / best / copy, of_bare = work.elements / best / bare;
  double of_exp = 0;
  if (work.positions > 0) state.counters["Gpos_per_s"] = work.positions / best * 1e-9;
  if (work.exponentials > 0) {
    of_exp = work.exponentials / best / Ceilings::instance().exponentials();
    state.counters["of_exp"] = of_exp;
  }
  state.counters["of_copy"] = of_copy;
  state.counters["of_bare"] = of_bare;
  state.counters["of_nearest"] = std::max({of_copy, of_exp, of_bare});
}

/// The variants, in the order in which they are run.
class Suite {
 public:
  /// After `time_limit` seconds the variants that are left are left out, so that the file is complete.
  Suite(scan_suite::Selection selection, double time_limit)
      : selection_(selection), time_limit_(time_limit), begun_(std::chrono::steady_clock::now()) {}

  bool all() const { return selection_ == scan_suite::Selection::all; }
  std::size_t size() const { return size_; }

  /// `run(state)` prepares and measures. Shapes that the device or a launch cannot hold are refused; any
  /// other exception is a failure.
  void add(const std::string& name, std::function<void(benchmark::State&)> run) {
    ++size_;
    benchmark::RegisterBenchmark(
        name.c_str(),
        [this, run = std::move(run)](benchmark::State& state) {
          if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count() >
              time_limit_) {
            state.SkipWithError("left out: the time limit was reached");
            return;
          }
          try {
            run(state);
          } catch (const OutOfMemory& e) {
            state.SkipWithError((std::string("refused: ") + e.what()).c_str());
          } catch (const ShapeError& e) {
            state.SkipWithError((std::string("refused: ") + e.what()).c_str());
          } catch (const std::exception& e) {
            state.SkipWithError((std::string("failed: ") + e.what()).c_str());
          }
        })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }

 private:
  scan_suite::Selection selection_;
  double time_limit_;
  std::chrono::steady_clock::time_point begun_;
  std::size_t size_ = 0;
};

}  // namespace gpu_suite
