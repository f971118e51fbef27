#pragma once

// What `scan_variants --serve` answers, so that another program can measure in turn with it and compare
// results.

#include "bare_scan.hpp"
#include "scan_suite.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace scan_suite {

/// One run of the fused selective scan, after one that wakes the threads; its arrays are kept for the next
/// one of the same shape.
inline double selective_seconds(const Shape& shape, bool backward) {
  static std::unique_ptr<Fused<16, float>> last;
  if (!last || !(last->shape == shape)) {
    last = std::make_unique<Fused<16, float>>(shape);
    last->run_forward();
  }
  use_threads(shape.threads);
  const auto run = [&] { backward ? last->run_backward() : last->run_forward(); };
  run();
  return seconds_of(run);
}

/// What the forward recurrence alone would take if all threads ran it as one does with everything in its
/// first cache: no implementation of the scan with these operations is faster. The best of all calls.
inline double ceiling_seconds(const Shape& shape) {
  constexpr std::size_t rows = 96, states = 16, channels = simd_width<float>;
  Workspace memory;
  const auto make = [&](std::size_t cols, double low, double high) {
    const auto values = memory.take<float>(rows * cols);
    fill<float>(values, low, high);
    return MatrixView<float>(values.data(), rows, cols);
  };
  const auto dt = make(channels, 0, 0.1), u = make(channels, -1, 1), B = make(states, -1, 1),
             C = make(states, -1, 1), A = make(states * channels, -16, -1), y = make(channels, 0, 0);
  static double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 200; ++i) {
    best = std::min(best, seconds_of([&] { bench::bare_scan<states>(dt, u, B, C, A.data, y, 0, channels); }));
  }
  return best * static_cast<double>(shape.elements()) / (rows * states * channels) /
         static_cast<double>(shape.threads);
}

/// One run of SimdChannels over these matrices.
inline void run_columns(Columns<float>& x, bool backward) {
  if (backward) {
    scan_backward(SimdChannels{}, x.a, x.h, x.d_h, x.d_a, x.d_b, {}, x.options());
  } else {
    scan(SimdChannels{}, x.a, x.b, x.h, x.options());
  }
}

/// One run of SimdChannels, after one that wakes the threads.
inline double column_seconds(const Shape& shape, bool backward) {
  auto& x = columns_of<float>(shape);
  if (backward) x.with_gradients();
  use_threads(shape.threads);
  run_columns(x, backward);
  return seconds_of([&] { run_columns(x, backward); });
}

/// Matrices in a folder, each a file of its floats, row by row.
class Exchange {
 public:
  explicit Exchange(std::filesystem::path folder) : folder_(std::move(folder)) {}

  MatrixView<float> read(const std::string& name, std::size_t rows, std::size_t cols) {
    const auto values = memory_.take<float>(rows * cols);
    const auto bytes = static_cast<std::streamsize>(values.size_bytes());
    std::ifstream in(path(name), std::ios::binary);
    if (!in.read(reinterpret_cast<char*>(values.data()), bytes) ||
        in.peek() != std::ifstream::traits_type::eof()) {
      throw std::runtime_error(path(name).string() + ": expected " + std::to_string(rows) + " × " +
                               std::to_string(cols) + " floats");
    }
    return {values.data(), rows, cols};
  }

  void write(const std::string& name, MatrixView<const float> matrix) const {
    std::ofstream out(path(name), std::ios::binary);
    out.write(reinterpret_cast<const char*>(matrix.data),
              static_cast<std::streamsize>(matrix.rows * matrix.cols * sizeof(float)));
    if (!out.flush()) throw std::runtime_error(path(name).string() + ": cannot be written");
  }

 private:
  std::filesystem::path path(const std::string& name) const { return folder_ / (name + ".f32"); }

  std::filesystem::path folder_;
  Workspace memory_;
};

/// Both directions of SimdChannels: a, b and d_h are read, h, d_a and d_b written.
inline void exchange_columns(const Shape& shape, Exchange& files) {
  Columns<float> x(shape);
  x.with_gradients();
  use_threads(shape.threads);
  x.a = files.read("a", shape.rows(), shape.columns());
  x.b = files.read("b", shape.rows(), shape.columns());
  x.d_h = files.read("d_h", shape.rows(), shape.columns());
  run_columns(x, false);
  run_columns(x, true);
  files.write("h", x.h);
  files.write("d_a", x.d_a);
  files.write("d_b", x.d_b);
}

/// Both directions of the fused selective scan: its inputs and d_out are read, out and all gradients written.
inline void exchange_selective(const Shape& shape, Exchange& files) {
  const std::size_t M = shape.rows(), D = shape.D, N = shape.N;
  Fused<16, float> x(shape);
  use_threads(shape.threads);
  x.in.u = files.read("u", M, D);
  x.in.dt = files.read("dt", M, D);
  x.in.z = files.read("z", M, D);
  x.in.B = files.read("B", M, N);
  x.in.C = files.read("C", M, N);
  x.in.A = files.read("A", D, N);
  x.in.D = files.read("D", 1, D);
  x.in.dt_bias = files.read("dt_bias", 1, D);
  x.d_out = files.read("d_out", M, D);
  x.run_forward();
  x.run_backward();
  files.write("out", x.out);
  files.write("d_u", x.gradients.u);
  files.write("d_dt", x.gradients.dt);
  files.write("d_z", x.gradients.z);
  files.write("d_B", x.gradients.B);
  files.write("d_C", x.gradients.C);
  files.write("d_A", x.gradients.A);
  files.write("d_D", x.gradients.D);
  files.write("d_dt_bias", x.gradients.dt_bias);
}

/// Answers lines "REQUEST B L D N threads" with seconds until there are no more. `folder` is where values are
/// exchanged. Gives the program's exit status.
inline int serve(const std::string& folder) {
  std::string request;
  Shape shape;
  while (std::cin >> request >> shape.B >> shape.L >> shape.D >> shape.N >> shape.threads) {
    if (request.starts_with("selective-") && shape.N != 16) {
      std::fprintf(stderr, "scan_variants --serve: the selective scan is served for N = 16 only, not %zu\n",
                   shape.N);
      return 1;
    }
    double seconds = 0;
    try {
      if (request == "forward" || request == "backward") {
        seconds = column_seconds(shape, request == "backward");
      } else if (request == "values") {
        Exchange files(folder);
        seconds = seconds_of([&] { exchange_columns(shape, files); });
      } else if (request == "selective-forward" || request == "selective-backward") {
        seconds = selective_seconds(shape, request == "selective-backward");
      } else if (request == "selective-values") {
        Exchange files(folder);
        seconds = seconds_of([&] { exchange_selective(shape, files); });
      } else if (request == "selective-ceiling") {
        seconds = ceiling_seconds(shape);
      } else {
        throw std::runtime_error("unknown request '" + request + "'");
      }
    } catch (const std::exception& e) {
      std::fprintf(stderr, "scan_variants --serve: %s\n", e.what());
      return 1;
    }
    std::printf("%.9f\n", seconds);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace scan_suite
