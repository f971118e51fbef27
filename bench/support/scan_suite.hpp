#pragma once

// The suite behind bench/scan_variants: shapes, data, ceilings, counters, and how a policy or an
// operator joins it. A program of your own needs one line for each:
//
//   suite.add_policy<MyScan>();                        // a scan policy, over all selected shapes
//   suite.add_operator<MyOperator>("name", make);      // an operator, through all policies that take any

#include "program.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <sdlora/scan/menu.hpp>
#include <sdlora/scan/selective_scan.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <sdlora/tensor/workspace.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace scan_suite {

using namespace sdlora;

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

/// Fills with values in [low, high), the same for the same count.
template <class T>
void fill(std::span<T> values, double low, double high) {
  std::uint32_t state = 0x9E3779B9U;
  for (T& x : values) {
    state = state * 1664525U + 1013904223U;
    x = static_cast<T>(static_cast<State<T>>(low + (high - low) * static_cast<double>(state >> 8) * 0x1p-24));
  }
}

/// The matrices of one shape. Decays in [0.9, 1), inputs in [0, 1): inside every policy's domain for
/// short sequences.
template <class T>
struct Columns {
  Shape shape;
  Workspace memory;
  std::vector<std::size_t> offsets;
  MatrixView<T> a, b, h, grad_h, grad_a, grad_b;

  explicit Columns(const Shape& shape_) : shape(shape_), offsets(shape_.offsets()) {
    for (auto* m : {&a, &b, &h}) *m = make();
    fill<T>({a.data, shape.elements()}, 0.9, 1.0);
    fill<T>({b.data, shape.elements()}, 0.0, 1.0);
    fill<T>({h.data, shape.elements()}, 0.0, 1.0);
  }

  void with_gradients() {
    if (grad_h) return;
    for (auto* m : {&grad_h, &grad_a, &grad_b}) *m = make();
    fill<T>({grad_h.data, shape.elements()}, -1.0, 1.0);
    std::memset(static_cast<void*>(grad_a.data), 0, shape.elements() * sizeof(T));
    std::memset(static_cast<void*>(grad_b.data), 0, shape.elements() * sizeof(T));
  }

  LinearScanOptions<State<T>> options() const {
    return {.kind = ScanKind::inclusive,
            .direction = ScanDirection::forward,
            .initial = {},
            .sequences = {offsets}};
  }

 private:
  MatrixView<T> make() {
    const auto values = memory.take<T>(shape.elements());
    return {values.data(), shape.rows(), shape.columns()};
  }
};

/// The matrices last used: neighbours in the suite have the same shape.
template <class T>
Columns<T>& columns_of(const Shape& shape) {
  static std::unique_ptr<Columns<T>> last;
  Shape key = shape;
  key.threads = 1;
  if (!last || !(last->shape == key)) {
    last.reset();
    last = std::make_unique<Columns<T>>(key);
  }
  return *last;
}

/// What this machine reaches on loops that do nothing else. Measured when first asked for.
class Ceilings {
 public:
  static Ceilings& instance() {
    static Ceilings ceilings;
    return ceilings;
  }

  /// ns per element of h ← a·h + b alone, the operands in the first cache.
  template <class T>
  double bare(std::size_t threads) {
    double& best = bare_[{sizeof(T), threads}];
    if (best == 0) best = measure_bare<T>(threads);
    return best;
  }

  /// Bytes per second, read and written, of copying `bytes`; the better of memcpy and of stores
  /// around the caches.
  double copy(std::size_t bytes, std::size_t threads) {
    double& best = copy_[{bytes, threads}];
    if (best == 0) best = measure_copy(bytes, threads);
    return best;
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
    const std::size_t tasks = (count + block - 1) / block;
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

  std::map<std::pair<std::size_t, std::size_t>, double> bare_, copy_;
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
    for (; samples < 5; ++samples) best = std::min(best, seconds_of(f));
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

template <class Policy, class T>
void forward(benchmark::State& state, const Shape& shape) {
  auto& x = columns_of<T>(shape);
  const auto elements = static_cast<double>(shape.elements());
  measure<T>(state, shape, elements, 3 * elements * sizeof(T),
             [&] { scan(Policy{}, x.a, x.b, x.h, x.options()); });
}

template <class Policy, class T>
void backward(benchmark::State& state, const Shape& shape) {
  auto& x = columns_of<T>(shape);
  x.with_gradients();
  const auto elements = static_cast<double>(shape.elements());
  measure<T>(state, shape, elements, 5 * elements * sizeof(T),
             [&] { scan_backward(Policy{}, x.a, x.h, x.grad_h, x.grad_a, x.grad_b, {}, x.options()); });
}

/// The whole fused scan of a Mamba block, N static: softplus, discretisation, recurrence, skip, gate.
/// It makes a and b on the way instead of reading them.
template <std::size_t N, class T>
struct Fused {
  Shape shape;
  Workspace memory, workspace;
  std::vector<std::size_t> offsets;
  SelectiveScanInputs<T> in;
  SelectiveScanGradientOutputs<T> gradients;
  MatrixView<T> out, grad_out;
  T* states = nullptr;

  explicit Fused(const Shape& s) : shape(s), offsets(s.offsets()) {
    const auto make = [&](std::size_t rows, std::size_t cols, double low, double high) {
      const auto values = memory.take<T>(rows * cols);
      fill<T>(values, low, high);
      return MatrixView<T>(values.data(), rows, cols);
    };
    const std::size_t M = s.rows();
    in.sequences = {offsets};
    in.u = make(M, s.D, -1, 1);
    in.dt = make(M, s.D, -4, 0);
    in.z = make(M, s.D, -1, 1);
    in.B = make(M, s.N, -1, 1);
    in.C = make(M, s.N, -1, 1);
    in.A = make(s.D, s.N, -16, -1);
    in.D = make(1, s.D, -1, 1).data;
    in.dt_bias = make(1, s.D, -1, 1).data;
    out = make(M, s.D, 0, 0);
    grad_out = make(M, s.D, -1, 1);
    states = memory.take<T>(selective_scan_states_size(in.sequences, s.D, s.N)).data();
    gradients.u = make(M, s.D, 0, 0);
    gradients.dt = make(M, s.D, 0, 0);
    gradients.z = make(M, s.D, 0, 0);
    gradients.B = make(M, s.N, 0, 0);
    gradients.C = make(M, s.N, 0, 0);
    gradients.A = make(s.D, s.N, 0, 0).data;
    gradients.D = make(1, s.D, 0, 0).data;
    gradients.dt_bias = make(1, s.D, 0, 0).data;
  }

  static constexpr SelectiveScanGradients wanted{true,           true, true, true, true,
                                                 AGradient::All, true, true, false};

  void run_forward() { selective_scan_forward<N, T>(in, out, nullptr, states, workspace); }
  void run_backward() {
    selective_scan_backward<N, wanted, T>(in, states, grad_out, nullptr, gradients, workspace);
  }
};

template <std::size_t N, class T>
void fused(benchmark::State& state, const Shape& shape, bool backwards) {
  Fused<N, T> x(shape);
  x.run_forward();
  const double elements = static_cast<double>(shape.elements());
  const double rows = static_cast<double>(shape.rows()) * sizeof(T);
  const double D = static_cast<double>(shape.D), states = static_cast<double>(shape.N);
  if (backwards) {
    measure<T>(state, shape, elements, rows * (7 * D + 4 * states), [&] { x.run_backward(); });
  } else {
    measure<T>(state, shape, elements, rows * (4 * D + 2 * states), [&] { x.run_forward(); });
  }
}

class Suite {
 public:
  explicit Suite(Selection selection) : selection_(selection) {}

  /// Measures a policy on columns: forward and backward, float and double, and bfloat16 where it takes it.
  template <ScanPolicy Policy>
  void add_policy() {
    add<Policy, float>("float");
    add<Policy, double>("double");
    if constexpr (NarrowColumnScan<Policy>) add<Policy, BFloat16>("bfloat16");
  }

  /// Measures an operator through every policy that takes any, over one sequence of values.
  /// `make(i)` gives the i-th value.
  template <AssociativeOperator Op, class Make>
  void add_operator(const std::string& name, const Make& make) {
    ElementPolicies::for_each([&](auto policy) { add_element_policy<decltype(policy), Op>(name, make); });
  }

  /// Measures one policy for any operator under one operator.
  template <ElementScan Policy, AssociativeOperator Op, class Make>
  void add_element_policy(const std::string& name, const Make& make) {
    using V = typename Op::value_type;
    for (const std::size_t length : selection_ == Selection::quick
                                        ? std::vector<std::size_t>{512, 65536}
                                        : std::vector<std::size_t>{128, 512, 2048, 8192, 65536}) {
      for (const std::size_t threads : {1U, 2U}) {
        const Shape shape{1, length, 1, 1, threads};
        keep("elements/" + std::string(Policy::name) + "/" + name + "/" + "any" + shape.text(), shape,
             [shape, make](benchmark::State& state) {
               std::vector<V> in(shape.L), out(shape.L);
               for (std::size_t i = 0; i < shape.L; ++i) in[i] = make(i);
               measure<float>(state, shape, static_cast<double>(shape.L),
                              2.0 * static_cast<double>(shape.L * sizeof(V)),
                              [&] { scan(Policy{}, in, out, {}, Op{}); });
             });
      }
    }
  }

  /// Measures the fused selective scan, which does more work per element than a scan of columns.
  void add_fused() {
    for (const Shape& shape : shapes("float")) {
      if (shape.D < 16) continue;
      for (const bool backwards : {false, true}) {
        keep(std::string("columns/fused_selective/") + (backwards ? "backward" : "forward") + "/float" +
                 shape.text(),
             shape, [shape, backwards](benchmark::State& state) {
               // A number of states known only at run time costs the same (bench/selective_scan.cpp).
               if (shape.N == 16) {
                 fused<16, float>(state, shape, backwards);
               } else {
                 fused<dyn, float>(state, shape, backwards);
               }
             });
      }
    }
  }

  /// Hands everything to Google Benchmark, equal shapes one after another; gives their number.
  std::size_t register_all() {
    std::vector<std::size_t> order(entries_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) {
      const auto a = key(entries_[x].shape), b = key(entries_[y].shape);
      return a < b || (!(b < a) && x < y);
    });
    for (const std::size_t i : order) {
      benchmark::RegisterBenchmark(entries_[i].name.c_str(), entries_[i].run)
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
    return entries_.size();
  }

 private:
  struct Entry {
    std::string name;
    Shape shape;
    std::function<void(benchmark::State&)> run;
  };

  static std::array<std::size_t, 5> key(const Shape& s) { return {s.elements(), s.D, s.N, s.L, s.threads}; }

  void keep(const std::string& name, const Shape& shape, std::function<void(benchmark::State&)> run) {
    entries_.push_back({name, shape, std::move(run)});
  }

  /// Above this many elements, and backward but for two shapes, the quick selection has only policies
  /// made for columns: the others are some fifty times slower, and that shows on small shapes too.
  static constexpr std::size_t quick_elements = std::size_t(1) << 20;

  template <class Policy, class T>
  void add(const std::string& scalar) {
    constexpr bool for_columns = ColumnScanBackward<Policy> || detail::SplitsTime<Policy>;
    for (const Shape& shape : shapes(scalar)) {
      const bool all = selection_ == Selection::all || for_columns;
      if (!all && shape.elements() > quick_elements) continue;
      keep("columns/" + std::string(Policy::name) + "/forward/" + scalar + shape.text(), shape,
           [shape](benchmark::State& state) { forward<Policy, T>(state, shape); });
      if (!all && !(shape.N == 16 && (shape.L == 512 || shape.L == 1024))) continue;
      keep("columns/" + std::string(Policy::name) + "/backward/" + scalar + shape.text(), shape,
           [shape](benchmark::State& state) { backward<Policy, T>(state, shape); });
    }
  }

  std::vector<Shape> shapes(const std::string& scalar) const {
    std::vector<Shape> list;
    const auto add = [&](std::size_t B, std::size_t L, std::size_t D, std::size_t N,
                         std::size_t most_threads) {
      for (std::size_t threads = 1; threads <= most_threads; ++threads) list.push_back({B, L, D, N, threads});
    };
    if (selection_ == Selection::all) {
      for (const std::size_t L : {128U, 512U, 2048U, 8192U, 65536U}) {
        for (const std::size_t D : {1U, 16U, 64U, 256U, 1024U, 1536U, 2048U}) {
          for (const std::size_t N : {1U, 4U, 16U, 64U, 256U}) {
            for (const std::size_t B : {1U, 8U}) {
              if (B * L * D * N <= std::size_t(1) << 26) add(B, L, D, N, 2);
            }
          }
        }
      }
    } else if (scalar != "float") {
      add(1, 512, 64, 16, 2);
      if (scalar == "bfloat16") add(1, 512, 1536, 16, 2);
    } else {
      for (const std::size_t L : {128U, 1024U, 8192U}) add(1, L, 1, 16, 1);
      add(1, 65536, 1, 16, 2);
      add(1, 512, 16, 16, 1);
      add(1, 512, 64, 16, 2);
      add(8, 512, 64, 16, 2);
      for (const std::size_t N : {1U, 4U, 64U, 256U}) add(1, 512, 64, N, 1);
      for (const std::size_t D : {256U, 1024U, 2048U}) add(1, 512, D, 16, 1);
      add(1, 512, 1536, 16, 2);
    }
    return list;
  }

  Selection selection_;
  std::vector<Entry> entries_;
};

}  // namespace scan_suite
