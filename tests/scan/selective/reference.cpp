#include <doctest/doctest.h>

#include <sdlora/scan/selective/reference.hpp>

#include <cmath>

#include "random_scan.hpp"

namespace {

// A scalar that depends on every output: its gradient with respect to out and final_state is
// d_out and d_final_state of the problem.
double objective(const RandomScan<double>& p) {
  std::vector<double> out(p.rows() * p.E), final_state(p.sequences() * p.E * p.N);
  sdlora::selective_scan_reference_forward(p.inputs(), {out.data(), p.rows(), p.E},
                                           p.states(final_state.data()));
  double sum = 0;
  for (std::size_t t = 0; t < p.rows(); ++t) {
    for (std::size_t e = 0; e < p.E; ++e) sum += out[t * p.E + e] * p.d_out[t * (p.E + p.gap) + e];
  }
  for (std::size_t i = 0; i < final_state.size(); ++i) sum += final_state[i] * p.d_final_state[i];
  return sum;
}

// Every value of `parameter` that is not a gap, against central differences.
void check_gradient(RandomScan<double>& p, std::vector<double>& parameter,
                    const std::vector<double>& gradient, std::size_t parameter_stride, std::size_t cols,
                    std::size_t gradient_stride) {
  const std::size_t rows = parameter.size() / parameter_stride;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      double& value = parameter[i * parameter_stride + j];
      const double saved = value, step = 1e-5;
      value = saved + step;
      const double above = objective(p);
      value = saved - step;
      const double below = objective(p);
      value = saved;
      const double expected = (above - below) / (2 * step);
      CHECK(gradient[i * gradient_stride + j] == doctest::Approx(expected).epsilon(1e-7));
    }
  }
}

}  // namespace

TEST_CASE("selective_scan_reference: one state by hand") {
  const std::size_t offsets[] = {0, 2};
  const double u[] = {1.5, -0.5}, dt[] = {0.25, -1}, B[] = {2, 3}, C[] = {0.5, -1}, A[] = {-0.75};
  sdlora::SelectiveScanInputs<double> in;
  in.sequences = {offsets};
  in.u = {u, 2, 1};
  in.dt = {dt, 2, 1};
  in.B = {B, 2, 1};
  in.C = {C, 2, 1};
  in.A = {A, 1, 1};
  double out[2], last[1];
  sdlora::selective_scan_reference_forward(in, {out, 2, 1}, {last, 1, 1});
  const double d0 = std::log(1 + std::exp(0.25)), d1 = std::log(1 + std::exp(-1.0));
  const double h0 = d0 * 1.5 * 2, h1 = std::exp(d1 * -0.75) * h0 + d1 * -0.5 * 3;
  CHECK(out[0] == doctest::Approx(0.5 * h0).epsilon(1e-14));
  CHECK(out[1] == doctest::Approx(-h1).epsilon(1e-14));
  CHECK(last[0] == doctest::Approx(h1).epsilon(1e-14));
}

TEST_CASE("selective_scan_reference: every gradient by finite differences") {
  for (const bool shared : {false, true}) {
    RandomScan<double> p({3, 0, 1, 4}, 3, 2, 5);
    p.shared_initial = shared;
    GradientArrays<double> gradients(p, {}, 0.0);
    sdlora::selective_scan_reference_backward(p.inputs(), p.matrix(p.d_out, p.rows(), p.E),
                                              p.states(p.d_final_state.data()),
                                              sdlora::SelectiveScanGradients::all(), gradients.outputs());
    check_gradient(p, p.u, gradients.u, p.E + p.gap, p.E, p.E + p.gap);
    check_gradient(p, p.dt, gradients.dt, p.E + p.gap, p.E, p.E + p.gap);
    check_gradient(p, p.z, gradients.z, p.E + p.gap, p.E, p.E + p.gap);
    check_gradient(p, p.B, gradients.B, p.N + p.gap, p.N, p.N + p.gap);
    check_gradient(p, p.C, gradients.C, p.N + p.gap, p.N, p.N + p.gap);
    check_gradient(p, p.A, gradients.A, p.N + p.gap, p.N, p.N);
    check_gradient(p, p.D, gradients.D, p.E, p.E, p.E);
    check_gradient(p, p.dt_bias, gradients.dt_bias, p.E, p.E, p.E);
    const std::size_t stride = p.E * p.N + 2;
    if (shared) {
      p.initial_state.resize(stride);
      gradients.initial_state.resize(stride);
    }
    check_gradient(p, p.initial_state, gradients.initial_state, stride, p.E * p.N, stride);
  }
}
