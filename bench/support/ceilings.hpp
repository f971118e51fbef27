#pragma once

// What the CPU's suite is made of: clock, threads, values, and what the machine reaches in loops that do
// nothing else.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <sdlora/scan/menu/menu.hpp>
#include <sdlora/tensor/extents.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <sdlora/tensor/simd.hpp>
#include <sdlora/tensor/workspace.hpp>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace scan_suite {

using namespace sdlora;

template <class T>
using State = recurrence_state_t<T>;

inline double seconds_of(const std::function<void()>& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

inline void use_threads(std::size_t count) {
  if (thread_count() != count) set_thread_count(count);
}

/// The numbers of threads that are measured: one, two, and as many as the machine runs at once.
inline std::vector<std::size_t> thread_counts() {
  std::vector<std::size_t> counts{1, 2};
  if (const std::size_t all = std::thread::hardware_concurrency(); all > 2) counts.push_back(all);
  return counts;
}

/// Fills with values in [low, high), the same for the same count.
template <class T>
void fill(std::span<T> values, double low, double high) {
  std::uint32_t state = 0x9E3779B9U;
  for (T& x : values) {
    state = state * 1664525U + 1013904223U;
    x = static_cast<T>(static_cast<State<T>>(low + (high - low) * static_cast<double>(state >> 8) * 0x1p-24));
  }
}

/// A rate that is measured when first asked for and twice more, some seconds later each: as variants,
/// ceilings have three turns, so that one busy moment does not make them low.
class Ceiling {
 public:
  /// The highest rate so far.
  template <class F>
  double rate(F&& measure) {
    if (turns_ < 3 && Clock::now() >= next_) {
      best_ = std::max(best_, measure());
      next_ = Clock::now() + std::chrono::seconds(5);
      ++turns_;
    }
    return best_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  double best_ = 0;
  int turns_ = 0;
  Clock::time_point next_{};
};

/// What this machine reaches on loops that do nothing else.
class Ceilings {
 public:
  static Ceilings& instance() {
    static Ceilings ceilings;
    return ceilings;
  }

  /// ns per element of h ← a·h + b alone, the operands in the first cache.
  template <class T>
  double bare(std::size_t threads) {
    return 1 / bare_[{sizeof(T), threads}].rate([&] { return 1 / measure_bare<T>(threads); });
  }

  /// Bytes per second, read and written, of copying `bytes`; the better of memcpy and of stores
  /// around the caches.
  double copy(std::size_t bytes, std::size_t threads) {
    return copy_[{bytes, threads}].rate([&] { return measure_copy(bytes, threads); });
  }

 private:
  template <class T>
  static double measure_bare(std::size_t threads) {
    constexpr std::size_t rows = 8, columns = 1024 / sizeof(T), repeats = 2000, tasks = 32;
    use_threads(threads);
    Workspace memory;
    const auto a = memory.take<T>(rows * columns), b = memory.take<T>(rows * columns);
    const auto h = memory.take<T>(tasks * columns);
    fill<T>(a, 0.9, 1.0);
    fill<T>(b, 0.0, 1.0);
    fill<T>(h, 0.0, 1.0);
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 30; ++i) {
      best = std::min(best, seconds_of([&] {
                        parallel_for(tasks, [&](std::size_t task) {
                          T* state = h.data() + task * columns;
                          for (std::size_t r = 0; r < repeats; ++r) {
                            const T* x = a.data() + r % rows * columns;
                            const T* y = b.data() + r % rows * columns;
                            for (std::size_t j = 0; j < columns; ++j) state[j] = x[j] * state[j] + y[j];
                          }
                          benchmark::DoNotOptimize(state[0]);
                        });
                      }));
    }
    return best * 1e9 / static_cast<double>(tasks * repeats * columns);
  }

  static double measure_copy(std::size_t bytes, std::size_t threads) {
    use_threads(threads);
    Workspace memory;
    const std::size_t count = bytes / sizeof(float) / 64 * 64 + 64;
    const auto from = memory.take<float>(count), to = memory.take<float>(count);
    fill<float>(from, 0.0, 1.0);
    std::memset(to.data(), 0, count * sizeof(float));
    constexpr std::size_t block = 1 << 14;
    const std::size_t tasks = detail::ceil_div(count, block);
    const int rounds = bytes > (std::size_t(64) << 20) ? 5 : 25;
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < rounds; ++i) {
      const double plain = seconds_of([&] {
        parallel_for(tasks, [&](std::size_t task) {
          const std::size_t first = task * block;
          std::memcpy(to.data() + first, from.data() + first, std::min(block, count - first) * sizeof(float));
        });
      });
      const double around = seconds_of([&] {
        parallel_for(tasks, [&](std::size_t task) {
          const std::size_t first = task * block, end = std::min(first + block, count);
          for (std::size_t j = first; j < end; j += simd_width<float>) {
            detail::stream_lanes(Simd<float>::load_aligned(from.data() + j), to.data() + j);
          }
          detail::finish_streaming();
        });
      });
      best = std::min({best, plain, around});
      benchmark::ClobberMemory();
    }
    return 2.0 * static_cast<double>(count * sizeof(float)) / best;
  }

  std::map<std::pair<std::size_t, std::size_t>, Ceiling> bare_, copy_;
};

}  // namespace scan_suite
