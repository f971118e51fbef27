#pragma once

// The suite behind bench/scan_variants: shapes, data, ceilings, counters, and how a policy or an
// operator joins it. A program of your own needs one line for each:
//
//   suite.add_policy<MyScan>();                        // a scan policy, over all selected shapes
//   suite.add_operator<MyOperator>("name", make);      // an operator, through all policies that take any

#include "fused_scan.hpp"
#include "measure.hpp"
#include "program.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <sdlora/scan/menu/menu.hpp>
#include <sdlora/tensor/workspace.hpp>
#include <string>
#include <utility>
#include <vector>

namespace scan_suite {

/// The matrices of one shape. Decays in [0.9, 1), inputs in [0, 1): inside every policy's domain for
/// short sequences.
template <class T>
struct Columns {
  Shape shape;
  Workspace memory;
  std::vector<std::size_t> offsets;
  MatrixView<T> a, b, h, d_h, d_a, d_b;

  explicit Columns(const Shape& shape_) : shape(shape_), offsets(shape_.offsets()) {
    for (auto* m : {&a, &b, &h}) *m = make();
    fill<T>({a.data, shape.elements()}, 0.9, 1.0);
    fill<T>({b.data, shape.elements()}, 0.0, 1.0);
    fill<T>({h.data, shape.elements()}, 0.0, 1.0);
  }

  void with_gradients() {
    if (d_h) return;
    for (auto* m : {&d_h, &d_a, &d_b}) *m = make();
    fill<T>({d_h.data, shape.elements()}, -1.0, 1.0);
    std::memset(static_cast<void*>(d_a.data), 0, shape.elements() * sizeof(T));
    std::memset(static_cast<void*>(d_b.data), 0, shape.elements() * sizeof(T));
  }

  LinearScanOptions<State<T>> options() const {
    return {.kind = ScanKind::Inclusive,
            .direction = ScanDirection::Forward,
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
             [&] { scan_backward(Policy{}, x.a, x.h, x.d_h, x.d_a, x.d_b, {}, x.options()); });
}

class Suite {
 public:
  explicit Suite(Selection selection) : selection_(selection) {}
  /// One shape alone, in float, through everything that scans columns.
  explicit Suite(const Shape& shape) : selection_(Selection::all), own_(shape) {}

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
    if (own_) return;
    for (const std::size_t length : selection_ == Selection::quick
                                        ? std::vector<std::size_t>{512, 65536}
                                        : std::vector<std::size_t>{128, 512, 2048, 8192, 65536}) {
      for (const std::size_t threads : thread_counts()) {
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

  /// Measures the fused selective scan, which does more work per element than a scan of columns; on several
  /// threads and few channels also with time cut into segments.
  void add_fused() {
    add_fused<float>("float");
    add_fused<double>("double");
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

  template <class T>
  void add_fused(const std::string& scalar) {
    auto list = shapes(scalar);
    if (selection_ == Selection::quick && scalar == "float") add_shape(list, {1, 16384, 16, 16}, true);
    for (const Shape& shape : list) {
      if (!own_ && shape.D < 16) continue;
      const bool cut = shape.threads > 1 && (own_ || (shape.D <= 64 && shape.L >= 8192));
      for (const bool segments : {false, true}) {
        if (segments && !cut) continue;
        for (const bool backwards : {false, true}) {
          keep(std::string("columns/fused_selective") + (segments ? "_segments/" : "/") +
                   (backwards ? "backward/" : "forward/") + scalar + shape.text(),
               shape, [shape, backwards, segments](benchmark::State& state) {
                 // A number of states known only at run time costs the same (bench/selective_scan.cpp).
                 if (shape.N == 16) {
                   fused<16, T>(state, shape, backwards, segments);
                 } else {
                   fused<dyn, T>(state, shape, backwards, segments);
                 }
               });
        }
      }
    }
  }

  static void add_shape(std::vector<Shape>& list, Shape shape, bool all_threads) {
    for (const std::size_t threads : thread_counts()) {
      shape.threads = threads;
      if (threads == 1 || all_threads) list.push_back(shape);
    }
  }

  std::vector<Shape> shapes(const std::string& scalar) const {
    std::vector<Shape> list;
    if (own_) {
      if (scalar == "float") list.push_back(*own_);
      return list;
    }
    const auto add = [&](std::size_t B, std::size_t L, std::size_t D, std::size_t N, bool all_threads) {
      add_shape(list, {B, L, D, N}, all_threads);
    };
    if (selection_ == Selection::all) {
      for (const std::size_t L : {128U, 512U, 2048U, 8192U, 65536U}) {
        for (const std::size_t D : {1U, 16U, 64U, 256U, 1024U, 1536U, 2048U}) {
          for (const std::size_t N : {1U, 4U, 16U, 64U, 256U}) {
            for (const std::size_t B : {1U, 8U}) {
              if (B * L * D * N <= std::size_t(1) << 26) add(B, L, D, N, true);
            }
          }
        }
      }
    } else if (scalar != "float") {
      add(1, 512, 64, 16, true);
      if (scalar == "bfloat16") add(1, 512, 1536, 16, true);
    } else {
      for (const std::size_t L : {128U, 1024U, 8192U}) add(1, L, 1, 16, false);
      add(1, 65536, 1, 16, true);
      add(1, 512, 16, 16, false);
      add(1, 512, 64, 16, true);
      add(8, 512, 64, 16, true);
      for (const std::size_t N : {1U, 4U, 64U, 256U}) add(1, 512, 64, N, false);
      for (const std::size_t D : {256U, 1024U, 2048U}) add(1, 512, D, 16, false);
      add(1, 512, 1536, 16, true);
    }
    return list;
  }

  Selection selection_;
  std::optional<Shape> own_;
  std::vector<Entry> entries_;
};

}  // namespace scan_suite
