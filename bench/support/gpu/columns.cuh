#pragma once

// The menu of scans on the GPU: recurrences of given a and b, and their gradients.

#include "suite.cuh"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/scan/cuda/policies.cuh>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace gpu_suite {

/// The matrices of one shape in device memory. A backward's gradient of h is b, which it does not need.
template <class T>
struct Columns {
  Shape shape;
  Memory<T> a, b, h, d_a, d_b;

  Columns(const Shape& shape_, Direction direction)
      : shape(shape_),
        a(size()),
        b(size()),
        h(size()),
        d_a(direction == Direction::backward ? size() : 0),
        d_b(direction == Direction::backward ? size() : 0) {
    fill(a, 0.5F, 1, 1);
    fill(b, -1, 1, 2);
    fill(h, -1, 1, 3);
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(shape.elements()); }
};

/// Each policy is measured in the layout that it is made for: (L, columns) where neighbouring threads take
/// neighbouring columns, else (columns, L). A policy of one's own says `static constexpr bool by_columns =
/// true;` for the former.
template <class Policy>
inline constexpr bool by_columns =
    std::is_same_v<Policy, CudaThreadPerChannel> || std::is_same_v<Policy, CudaSplitTime>;
template <class Policy>
  requires requires { Policy::by_columns; }
inline constexpr bool by_columns<Policy> = Policy::by_columns;

/// The matrices of sequence s, which lie one after another, as a problem in the layout of the policy.
/// Pointers to the first row serve a backward as well, which then is that of a reverse scan: it moves the
/// same bytes.
template <class Policy, Direction Way, class T>
auto problem_of(const Columns<T>& data, std::int64_t s) {
  const std::int64_t first = s * data.shape.L * data.shape.columns();
  std::conditional_t<Way == Direction::forward, LinearScanProblem<T>, LinearGradientProblem<T>> x;
  x.length = data.shape.L;
  x.columns = data.shape.columns();
  x.time_stride = by_columns<Policy> ? x.columns : 1;
  x.column_stride = by_columns<Policy> ? 1 : x.length;
  x.a = data.a.get() + first;
  x.h = data.h.get() + first;
  if constexpr (Way == Direction::forward) {
    x.b = data.b.get() + first;
  } else {
    x.d_h = data.b.get() + first;
    x.d_a = data.d_a.get() + first;
    x.d_b = data.d_b.get() + first;
  }
  return x;
}

/// Adds one policy on one shape; several sequences are scanned one after another, as `scan` does.
template <class Policy, class T, Direction Way>
void add_columns(Suite& suite, const Shape& shape) {
  const std::string name = variant_name("columns", Policy::name, Way, scalar_name<T>(), shape);
  suite.add(name, [shape](benchmark::State& state) {
    const std::string key =
        "columns/" + std::string(name_of(Way)) + "/" + std::string(scalar_name<T>()) + shape.text();
    auto& data = Kept::get<Columns<T>>(key, [&] { return std::make_shared<Columns<T>>(shape, Way); });
    state.SetLabel(by_columns<Policy> ? "(L, columns)" : "(columns, L)");
    const std::size_t bytes = Policy::workspace_bytes(problem_of<Policy, Way>(data, 0));
    const Memory<char> workspace(bytes);
    const double elements = static_cast<double>(shape.elements());
    // Forward a and b are read and h is written; backward a, h and h's gradient are read, two more written.
    constexpr double matrices = Way == Direction::forward ? 3 : 5;
    measure<T>(state, {.elements = elements, .bytes = matrices * elements * sizeof(T)}, [&] {
      for (std::int64_t s = 0; s < shape.B; ++s) {
        cuda_scan(Policy{}, nullptr, problem_of<Policy, Way>(data, s), workspace.get(), bytes);
      }
    });
  });
}

/// The shapes of the menu. Several sequences are only more launches, and more states only more columns, so
/// each is there at one length.
inline std::vector<Shape> column_shapes(const Suite& suite, std::string_view scalar) {
  std::vector<Shape> shapes{{1, 2048, 65536, 1}};
  if (!suite.all()) return shapes;
  shapes.push_back({1, 128, 1048576, 1});
  shapes.push_back({1, 65536, 256, 1});
  if (scalar != "float") return shapes;
  for (const std::int64_t N : {1, 4, 64, 256}) shapes.push_back({1, 2048, 64, N});
  shapes.push_back({8, 2048, 64, 16});
  for (const std::int64_t L : {128, 512, 2048, 8192, 65536}) {
    for (const std::int64_t D : {1, 64, 1536}) {
      const Shape shape{1, L, D, 16};
      if (shape.elements() <= std::int64_t{1} << 27U) shapes.push_back(shape);
    }
  }
  return shapes;
}

/// Adds one policy over all shapes of the menu, forward and backward, with values of type T.
template <CudaScanPolicy Policy, class T = float>
void add_policy(Suite& suite) {
  for (const Shape& shape : column_shapes(suite, scalar_name<T>())) {
    add_columns<Policy, T, Direction::forward>(suite, shape);
    add_columns<Policy, T, Direction::backward>(suite, shape);
  }
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
