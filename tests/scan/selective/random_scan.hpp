#pragma once

#include <sdlora/scan/selective/arguments.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

// A random selective scan with all its arrays, for the tests. Every matrix has a stride larger than
// its width, and the gaps hold a value that would show up in results.
template <class T>
struct RandomScan {
  std::vector<std::size_t> lengths;
  std::size_t E, N;
  std::size_t gap = 3;
  std::vector<std::size_t> offsets{0};
  std::vector<T> u, dt, B, C, z, A, D, dt_bias, initial_state, d_out, d_final_state;
  bool with_z = true, with_D = true, with_bias = true, with_initial = true;
  bool shared_initial = false;

  RandomScan(std::vector<std::size_t> lengths_, std::size_t E_, std::size_t N_, std::uint64_t seed = 1)
      : lengths(std::move(lengths_)), E(E_), N(N_) {
    for (const std::size_t length : lengths) offsets.push_back(offsets.back() + length);
    std::mt19937_64 random(seed);
    const auto fill = [&](std::vector<T>& values, std::size_t rows, std::size_t cols, std::size_t pad,
                          double low, double high) {
      values.assign(rows * (cols + pad), T(1e30));
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
          values[i * (cols + pad) + j] = static_cast<T>(low + (high - low) * unit);
        }
      }
    };
    const std::size_t M = rows(), S = sequences();
    fill(u, M, E, gap, -1, 1);
    fill(dt, M, E, gap, -4, 1);
    fill(z, M, E, gap, -3, 3);
    fill(B, M, N, gap, -1, 1);
    fill(C, M, N, gap, -1, 1);
    fill(A, E, N, gap, -3, -0.05);
    fill(D, 1, E, 0, -1, 1);
    fill(dt_bias, 1, E, 0, -1, 1);
    fill(initial_state, S, E * N, 2, -1, 1);
    fill(d_out, M, E, gap, -1, 1);
    fill(d_final_state, S, E * N, 0, -1, 1);
  }

  std::size_t rows() const { return offsets.back(); }
  std::size_t sequences() const { return lengths.size(); }
  std::size_t initial_stride() const { return shared_initial ? 0 : E * N + 2; }

  sdlora::MatrixView<const T> matrix(const std::vector<T>& values, std::size_t count,
                                     std::size_t cols) const {
    return {values.data(), count, cols, cols + gap};
  }

  /// States of all sequences, one after another; `values` has none where there are none.
  sdlora::MatrixView<const T> states(const T* values) const { return {values, sequences(), E * N}; }
  sdlora::MatrixView<T> states(T* values) const { return {values, sequences(), E * N}; }

  sdlora::SelectiveScanInputs<T> inputs() const {
    sdlora::SelectiveScanInputs<T> in;
    in.sequences = {offsets};
    in.u = matrix(u, rows(), E);
    in.dt = matrix(dt, rows(), E);
    in.B = matrix(B, rows(), N);
    in.C = matrix(C, rows(), N);
    if (with_z) in.z = matrix(z, rows(), E);
    in.A = matrix(A, E, N);
    if (with_D) in.D = {D.data(), 1, E};
    if (with_bias) in.dt_bias = {dt_bias.data(), 1, E};
    if (with_initial) in.initial_state = {initial_state.data(), sequences(), E * N, initial_stride()};
    return in;
  }
};

// Room for all gradients, with gaps as in the problem, and a starting value that shows what is added to.
template <class T>
struct GradientArrays {
  const RandomScan<T>* problem;
  std::vector<std::size_t> channels;
  std::vector<T> u, dt, B, C, z, A, D, dt_bias, initial_state;

  explicit GradientArrays(const RandomScan<T>& p, std::vector<std::size_t> selected = {}, T start = T(0.25))
      : problem(&p), channels(std::move(selected)) {
    u.assign(p.rows() * (p.E + p.gap), T(7));
    dt = z = u;
    B.assign(p.rows() * (p.N + p.gap), T(7));
    C = B;
    A.assign((channels.empty() ? p.E : channels.size()) * p.N, start);
    D.assign(p.E, start);
    dt_bias = D;
    initial_state.assign(p.sequences() * (p.E * p.N + 2), start);
  }

  sdlora::SelectiveScanGradientOutputs<T> outputs() {
    const auto& p = *problem;
    sdlora::SelectiveScanGradientOutputs<T> out;
    out.u = {u.data(), p.rows(), p.E, p.E + p.gap};
    out.dt = {dt.data(), p.rows(), p.E, p.E + p.gap};
    out.z = {z.data(), p.rows(), p.E, p.E + p.gap};
    out.B = {B.data(), p.rows(), p.N, p.N + p.gap};
    out.C = {C.data(), p.rows(), p.N, p.N + p.gap};
    out.A = {A.data(), channels.empty() ? p.E : channels.size(), p.N};
    out.channels = channels;
    out.D = {D.data(), 1, p.E};
    out.dt_bias = {dt_bias.data(), 1, p.E};
    out.initial_state = {initial_state.data(), p.sequences(), p.E * p.N, p.initial_stride()};
    return out;
  }

  // All arrays one after another, to compare with another set.
  std::vector<T> flat() const {
    std::vector<T> all;
    for (const auto* part : {&u, &dt, &B, &C, &z, &A, &D, &dt_bias, &initial_state}) {
      all.insert(all.end(), part->begin(), part->end());
    }
    return all;
  }
};

// The largest difference relative to the largest magnitude expected (and at least 1).
template <class T>
double difference(const std::vector<T>& got, const std::vector<T>& expected) {
  if (got.size() != expected.size()) return 1e300;
  double scale = 1, worst = 0;
  for (const T value : expected) {
    if (std::fabs(value) < T(1e20)) scale = std::max(scale, std::fabs(static_cast<double>(value)));
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i]) continue;
    const double error = std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst / scale;
}
