#pragma once

// The menu of linear scans on the GPU: recurrences of given a and b.

#include "suite.cuh"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/scan/cuda/linear_scan.cuh>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace gpu_suite {

/// The matrices of one shape in device memory.
template <class T>
struct Columns {
  Shape shape;
  Memory<T> a, b, h;

  explicit Columns(const Shape& shape_) : shape(shape_), a(size(shape_)), b(size(shape_)), h(size(shape_)) {
    fill(a, 0.5F, 1, 1);
    fill(b, -1, 1, 2);
  }

 private:
  static std::size_t size(const Shape& shape) { return static_cast<std::size_t>(shape.elements()); }
};

/// Each policy is measured in the layout that it is made for: (L, columns) where neighbouring threads take
/// neighbouring columns, else (columns, L).
template <class Policy>
inline constexpr bool by_columns =
    std::is_same_v<Policy, CudaThreadPerChannel> || std::is_same_v<Policy, CudaSplitTime>;

/// What the menu offers. Where a policy goes backward too, or takes double or BFloat16, this says so, and
/// problem_of makes what it is called with.
template <class Policy, class T, Direction Way>
inline constexpr bool is_offered = std::is_same_v<T, float> && Way == Direction::forward;

/// The matrices as the problem that cuda_linear_scan takes, in the layout of the policy.
template <class Policy, class T, Direction Way>
auto problem_of(const Columns<T>& data) {
  static_assert(is_offered<Policy, T, Way>);
  const std::int64_t length = data.shape.L, columns = data.shape.columns();
  CudaLinearScan x;
  x.a = data.a.get();
  x.b = data.b.get();
  x.h = data.h.get();
  x.length = length;
  x.columns = columns;
  x.time_stride = by_columns<Policy> ? columns : 1;
  x.column_stride = by_columns<Policy> ? 1 : length;
  return x;
}

/// Adds one policy on one shape, where the menu offers that.
template <class Policy, class T, Direction Way>
void add_columns(Suite& suite, const Shape& shape) {
  if constexpr (is_offered<Policy, T, Way>) {
    const std::string name = variant_name("columns", Policy::name, Way, scalar_name<T>(), shape);
    suite.add(name, [shape](benchmark::State& state) {
      auto& data = Kept::get<Columns<T>>("columns/" + std::string(scalar_name<T>()) + shape.text(),
                                         [&] { return std::make_shared<Columns<T>>(shape); });
      state.SetLabel(by_columns<Policy> ? "(L, columns)" : "(columns, L)");
      const auto x = problem_of<Policy, T, Way>(data);
      const std::size_t bytes = Policy::workspace_bytes(x);
      const Memory<char> workspace(bytes);
      const double elements = static_cast<double>(shape.elements());
      // Forward a and b are read and h is written; backward a, h and h's gradient are read, two more written.
      constexpr double matrices = Way == Direction::forward ? 3 : 5;
      measure(state, {.elements = elements, .bytes = matrices * elements * sizeof(T)},
              [&] { cuda_linear_scan(Policy{}, nullptr, x, workspace.get(), bytes); });
    });
  }
}

/// The shapes of the menu: one sequence each, for a scan of more has only more columns.
inline std::vector<Shape> column_shapes(const Suite& suite, std::string_view scalar) {
  std::vector<Shape> shapes{{1, 2048, 65536, 1}};
  if (!suite.all()) return shapes;
  shapes.push_back({1, 128, 1048576, 1});
  shapes.push_back({1, 65536, 256, 1});
  if (scalar != "float") return shapes;
  for (const std::int64_t L : {128, 512, 2048, 8192, 65536}) {
    for (const std::int64_t D : {1, 64, 1536}) {
      const Shape shape{1, L, D, 16};
      if (shape.elements() <= std::int64_t{1} << 27U) shapes.push_back(shape);
    }
  }
  return shapes;
}

/// Adds the whole menu with values of type T, all policies of a shape one after another.
template <class T>
void add_menu(Suite& suite) {
  for (const Shape& shape : column_shapes(suite, scalar_name<T>())) {
    for_each_cuda_scan(
        [&](auto policy) { add_columns<decltype(policy), T, Direction::forward>(suite, shape); });
    for_each_cuda_scan(
        [&](auto policy) { add_columns<decltype(policy), T, Direction::backward>(suite, shape); });
  }
}

}  // namespace gpu_suite
