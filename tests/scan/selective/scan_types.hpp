#pragma once

#include <sdlora/scan/selective/interface.hpp>
#include <sdlora/scan/selective/reference.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "random_scan.hpp"

// What a type of selective scan gives for a random problem, beside the reference's.
template <class T>
struct ScanResults {
  std::vector<T> out, final_state;
  GradientArrays<T> gradients;

  explicit ScanResults(const RandomScan<T>& p, std::vector<std::size_t> channels = {})
      : out(p.rows() * (p.E + p.gap), T(7)),
        final_state(p.sequences() * p.E * p.N),
        gradients(p, std::move(channels)) {}

  sdlora::MatrixView<T> out_view() {
    const auto& p = *gradients.problem;
    return {out.data(), p.rows(), p.E, p.E + p.gap};
  }

  friend bool operator==(const ScanResults& a, const ScanResults& b) {
    return a.out == b.out && a.final_state == b.final_state && a.gradients.flat() == b.gradients.flat();
  }
};

// Each array by itself: their magnitudes differ.
template <class T>
double worst(const ScanResults<T>& got, const ScanResults<T>& expected) {
  double error =
      std::max(difference(got.out, expected.out), difference(got.final_state, expected.final_state));
  const auto &a = got.gradients, &b = expected.gradients;
  const auto meet = [&](const std::vector<T>& x, const std::vector<T>& y) {
    error = std::max(error, difference(x, y));
  };
  meet(a.u, b.u);
  meet(a.dt, b.dt);
  meet(a.B, b.B);
  meet(a.C, b.C);
  meet(a.z, b.z);
  meet(a.A, b.A);
  meet(a.D, b.D);
  meet(a.dt_bias, b.dt_bias);
  meet(a.initial_state, b.initial_state);
  return error;
}

template <class Scan, std::size_t N, sdlora::SelectiveScanGradients Wanted, class T>
ScanResults<T> results_of(const RandomScan<T>& p, std::vector<std::size_t> channels, bool with_final,
                          sdlora::Workspace& workspace) {
  static_assert(sdlora::SelectiveScan<Scan>);
  ScanResults<T> results(p, std::move(channels));
  const auto in = p.inputs();
  std::vector<T> checkpoints(Scan::checkpoint_size(in.sequences, p.E, p.N));
  Scan::template forward<N>(in, results.out_view(),
                            with_final ? p.states(results.final_state.data()) : sdlora::MatrixView<T>{},
                            checkpoints.data(), workspace);
  Scan::template backward<N, Wanted>(
      in, checkpoints.data(), p.matrix(p.d_out, p.rows(), p.E),
      with_final ? p.states(p.d_final_state.data()) : sdlora::MatrixView<const T>{},
      results.gradients.outputs(), workspace);
  return results;
}
template <class Scan, std::size_t N, sdlora::SelectiveScanGradients Wanted, class T>
ScanResults<T> results_of(const RandomScan<T>& p, std::vector<std::size_t> channels = {},
                          bool with_final = true) {
  sdlora::Workspace workspace;
  return results_of<Scan, N, Wanted>(p, std::move(channels), with_final, workspace);
}

template <sdlora::SelectiveScanGradients Wanted, class T>
ScanResults<T> reference_results(const RandomScan<T>& p, std::vector<std::size_t> channels = {},
                                 bool with_final = true) {
  ScanResults<T> results(p, std::move(channels));
  sdlora::selective_scan_reference_forward(
      p.inputs(), results.out_view(),
      with_final ? p.states(results.final_state.data()) : sdlora::MatrixView<T>{});
  sdlora::selective_scan_reference_backward(
      p.inputs(), p.matrix(p.d_out, p.rows(), p.E),
      with_final ? p.states(p.d_final_state.data()) : sdlora::MatrixView<const T>{}, Wanted,
      results.gradients.outputs());
  return results;
}
