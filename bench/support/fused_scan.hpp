#pragma once

// The fused selective scan in the CPU's suite.

#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <sdlora/scan/selective/segments.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>
#include <vector>

namespace scan_suite {

/// The whole fused scan of a Mamba block, N static: softplus, discretisation, recurrence, skip, gate.
/// It makes a and b on the way instead of reading them.
template <std::size_t N, class T>
struct Fused {
  Shape shape;
  Workspace memory, workspace;
  std::vector<std::size_t> offsets;
  SelectiveScanInputs<T> in;
  SelectiveScanGradientOutputs<T> gradients;
  MatrixView<T> out, d_out;
  T* checkpoints = nullptr;

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
    in.D = make(1, s.D, -1, 1);
    in.dt_bias = make(1, s.D, -1, 1);
    out = make(M, s.D, 0, 0);
    d_out = make(M, s.D, -1, 1);
    checkpoints = memory.take<T>(selective_scan_checkpoint_size(in.sequences, s.D, s.N)).data();
    gradients.u = make(M, s.D, 0, 0);
    gradients.dt = make(M, s.D, 0, 0);
    gradients.z = make(M, s.D, 0, 0);
    gradients.B = make(M, s.N, 0, 0);
    gradients.C = make(M, s.N, 0, 0);
    gradients.A = make(s.D, s.N, 0, 0);
    gradients.D = make(1, s.D, 0, 0);
    gradients.dt_bias = make(1, s.D, 0, 0);
  }

  static constexpr SelectiveScanGradients wanted{true,           true, true, true, true,
                                                 AGradient::All, true, true, false};

  /// With `segment_rows`, time is cut as well.
  void run_forward(std::size_t segment_rows = 0) {
    if (segment_rows > 0) {
      selective_scan_forward_segments<N, T>(in, segment_rows, out, {}, checkpoints, workspace);
    } else {
      selective_scan_forward<N, T>(in, out, {}, checkpoints, workspace);
    }
  }
  void run_backward(std::size_t segment_rows = 0) {
    if (segment_rows > 0) {
      selective_scan_backward_segments<N, wanted, T>(in, segment_rows, checkpoints, d_out, {}, gradients,
                                                     workspace);
    } else {
      selective_scan_backward<N, wanted, T>(in, checkpoints, d_out, {}, gradients, workspace);
    }
  }
};

/// Measures one direction, with `segments` in as many pieces of time as there are threads and one more.
template <std::size_t N, class T>
void fused(benchmark::State& state, const Shape& shape, bool backwards, bool segments) {
  Fused<N, T> x(shape);
  x.run_forward();
  const std::size_t segment_rows = segments ? shape.L / (shape.threads + 1) : 0;
  const double elements = static_cast<double>(shape.elements());
  const double rows = static_cast<double>(shape.rows()) * sizeof(T);
  const double D = static_cast<double>(shape.D), states = static_cast<double>(shape.N);
  if (backwards) {
    measure<T>(state, shape, elements, rows * (7 * D + 4 * states), [&] { x.run_backward(segment_rows); });
  } else {
    measure<T>(state, shape, elements, rows * (4 * D + 2 * states), [&] { x.run_forward(segment_rows); });
  }
}

}  // namespace scan_suite
