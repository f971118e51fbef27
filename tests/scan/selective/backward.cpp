#include <doctest/doctest.h>

#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>

#include <cmath>

#include "random_scan.hpp"

namespace {

using sdlora::AGradient;
using sdlora::dyn;
using sdlora::SelectiveScanGradients;
using sdlora::Workspace;

constexpr std::size_t chunk = sdlora::detail::scan_chunk;
constexpr SelectiveScanGradients everything = SelectiveScanGradients::all();

template <class T>
constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;

template <std::size_t N, SelectiveScanGradients Wanted, class T>
GradientArrays<T> fused(const RandomScan<T>& p, std::vector<std::size_t> channels = {},
                        bool with_final = true) {
  Workspace workspace;
  const auto in = p.inputs();
  std::vector<T> out(p.rows() * p.E),
      checkpoints(sdlora::selective_scan_checkpoint_size(in.sequences, p.E, p.N));
  sdlora::selective_scan_forward<N>(in, {out.data(), p.rows(), p.E}, {}, checkpoints.data(), workspace);
  GradientArrays<T> gradients(p, std::move(channels));
  sdlora::selective_scan_backward<N, Wanted>(
      in, checkpoints.data(), p.matrix(p.d_out, p.rows(), p.E),
      with_final ? p.states(p.d_final_state.data()) : sdlora::MatrixView<const T>{}, gradients.outputs(),
      workspace);
  CHECK(workspace.bytes_in_use() == 0);
  return gradients;
}

template <class T>
GradientArrays<T> reference(const RandomScan<T>& p, const SelectiveScanGradients& wanted = everything,
                            std::vector<std::size_t> channels = {}, bool with_final = true) {
  GradientArrays<T> gradients(p, std::move(channels));
  sdlora::selective_scan_reference_backward(
      p.inputs(), p.matrix(p.d_out, p.rows(), p.E),
      with_final ? p.states(p.d_final_state.data()) : sdlora::MatrixView<const T>{}, wanted,
      gradients.outputs());
  return gradients;
}

// Each array by itself: their magnitudes differ.
template <class T>
double worst(const GradientArrays<T>& got, const GradientArrays<T>& expected) {
  return std::max({difference(got.u, expected.u), difference(got.dt, expected.dt),
                   difference(got.B, expected.B), difference(got.C, expected.C),
                   difference(got.z, expected.z), difference(got.A, expected.A),
                   difference(got.D, expected.D), difference(got.dt_bias, expected.dt_bias),
                   difference(got.initial_state, expected.initial_state)});
}

template <class T, std::size_t... Ns>
void check_static_states() {
  (([] {
     CAPTURE(Ns);
     const RandomScan<T> p({chunk + 5}, 19, Ns);
     const auto got = fused<Ns, everything>(p);
     CHECK(worst(got, reference(p)) < tolerance<T>);
     CHECK(got.flat() == fused<dyn, everything>(p).flat());
   }()),
   ...);
}

}  // namespace

#define EACH_TYPE float, double

TEST_CASE_TEMPLATE("selective_scan_backward: any number of states", T, EACH_TYPE) {
  check_static_states<T, 1, 2, 4, 16, 64>();
  for (const std::size_t N : {3UL, 8UL, 12UL, 17UL, 31UL, 100UL}) {
    CAPTURE(N);
    const RandomScan<T> p({chunk + 5}, 19, N);
    CHECK(worst(fused<dyn, everything>(p), reference(p)) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("selective_scan_backward: any number of channels and rows", T, EACH_TYPE) {
  for (const std::size_t E : {1UL, 7UL, 16UL, 17UL, 33UL, 128UL, 131UL, 300UL}) {
    for (const std::size_t L : {1UL, 2UL, 13UL, chunk - 1, chunk, chunk + 1, 97UL}) {
      CAPTURE(E);
      CAPTURE(L);
      const RandomScan<T> p({L}, E, 16, E + L);
      CHECK(worst(fused<16, everything>(p), reference(p)) < tolerance<T>);
    }
  }
}

TEST_CASE_TEMPLATE("selective_scan_backward: packed sequences of unequal length", T, EACH_TYPE) {
  for (const bool shared : {false, true}) {
    RandomScan<T> p({0, 5, 0, 1, 70, chunk, 3, 0}, 37, 16);
    p.shared_initial = shared;
    CHECK(worst(fused<16, everything>(p), reference(p)) < tolerance<T>);
    CHECK(worst(fused<16, everything>(p, {}, false), reference(p, everything, {}, false)) < tolerance<T>);
    std::vector<std::size_t> many;
    for (std::size_t i = 0; i < 60; ++i) many.push_back(i * 7 % 11);
    RandomScan<T> q(many, 20, 4);
    q.shared_initial = shared;
    CHECK(worst(fused<4, everything>(q), reference(q)) < tolerance<T>);
  }
  const RandomScan<T> no_rows({0, 0}, 20, 4);
  CHECK(worst(fused<4, everything>(no_rows), reference(no_rows)) == 0);
}

TEST_CASE_TEMPLATE("selective_scan_backward: optional inputs", T, EACH_TYPE) {
  constexpr SelectiveScanGradients bare{
      .u = true, .dt = true, .B = true, .C = true, .A = AGradient::All, .initial_state = true};
  for (unsigned mask = 0; mask < 16; ++mask) {
    CAPTURE(mask);
    RandomScan<T> p({21, 40}, 35, 8, mask);
    p.with_z = mask & 1U;
    p.with_D = mask & 2U;
    p.with_bias = mask & 4U;
    p.with_initial = mask & 8U;
    CHECK(worst(fused<8, bare>(p), reference(p, bare)) < tolerance<T>);
  }
}

TEST_CASE("selective_scan_backward: every gradient by finite differences") {
  RandomScan<double> p({chunk + 3, 0, 2}, 9, 3, 3);
  const auto objective = [&] {
    Workspace workspace;
    std::vector<double> out(p.rows() * p.E), last(p.sequences() * p.E * p.N);
    sdlora::selective_scan_forward<dyn>(p.inputs(), {out.data(), p.rows(), p.E}, p.states(last.data()),
                                        nullptr, workspace);
    double sum = 0;
    for (std::size_t t = 0; t < p.rows(); ++t) {
      for (std::size_t e = 0; e < p.E; ++e) sum += out[t * p.E + e] * p.d_out[t * (p.E + p.gap) + e];
    }
    for (std::size_t i = 0; i < last.size(); ++i) sum += last[i] * p.d_final_state[i];
    return sum;
  };
  const auto gradients = fused<dyn, everything>(p);
  const auto check = [&](std::vector<double>& parameter, const std::vector<double>& gradient, double start) {
    REQUIRE(parameter.size() == gradient.size());
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      if (parameter[i] > 1e20 || parameter[i] == start) continue;  // a gap
      const double saved = parameter[i], step = 1e-5;
      parameter[i] = saved + step;
      const double above = objective();
      parameter[i] = saved - step;
      const double below = objective();
      parameter[i] = saved;
      CHECK(gradient[i] - start == doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
    }
  };
  check(p.u, gradients.u, 0);
  check(p.dt, gradients.dt, 0);
  check(p.B, gradients.B, 0);
  check(p.C, gradients.C, 0);
  check(p.z, gradients.z, 0);
  check(p.D, gradients.D, 0.25);
  check(p.dt_bias, gradients.dt_bias, 0.25);
  check(p.initial_state, gradients.initial_state, 0.25);
  std::vector<double> A_gradient(p.A.size());  // with the gaps that A has
  for (std::size_t e = 0; e < p.E; ++e) {
    for (std::size_t n = 0; n < p.N; ++n) A_gradient[e * (p.N + p.gap) + n] = gradients.A[e * p.N + n] - 0.25;
  }
  check(p.A, A_gradient, 0);
}

TEST_CASE_TEMPLATE("selective_scan_backward: the same bits for any number of threads", T, EACH_TYPE) {
  RandomScan<T> p({130, 0, 77, 300, 5}, 300, 16);
  p.shared_initial = true;
  const std::size_t before = sdlora::thread_count();
  sdlora::set_thread_count(1);
  const auto expected = fused<16, everything>(p).flat();
  for (const std::size_t threads : {2UL, 3UL}) {
    sdlora::set_thread_count(threads);
    CHECK(fused<16, everything>(p).flat() == expected);
  }
  sdlora::set_thread_count(before);
}

TEST_CASE_TEMPLATE("selective_scan_backward: extreme steps", T, EACH_TYPE) {
  RandomScan<T> p({50}, 33, 16);
  std::size_t i = 0;
  for (T& value : p.dt) {
    const T extremes[] = {T(-1e4), T(-100), T(-20), T(30), T(1000), T(0)};
    if (value < T(1e20)) value = extremes[i++ % 6];
  }
  CHECK(worst(fused<16, everything>(p), reference(p)) < tolerance<T>);
}

TEST_CASE("selective_scan_backward: bad shapes throw") {
  const RandomScan<double> p({4}, 3, 2);
  Workspace workspace;
  GradientArrays<double> gradients(p);
  std::vector<double> checkpoints(sdlora::selective_scan_checkpoint_size(p.inputs().sequences, 3, 2));
  const auto d_out = p.matrix(p.d_out, 4, 3);
  const auto run = [&](auto change) {
    auto outputs = gradients.outputs();
    change(outputs);
    sdlora::selective_scan_backward<dyn, everything>(p.inputs(), checkpoints.data(), d_out, {}, outputs,
                                                     workspace);
  };
  CHECK_NOTHROW(run([](auto&) {}));
  CHECK_THROWS_AS(run([](auto& out) { out.u.rows = 3; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.dt = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.B.cols = 3; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.C.cols = 1; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.z = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.A = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.D = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.dt_bias = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.initial_state = {}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.A.cols = 1; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.D.cols = 4; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& out) { out.initial_state.cols = 5; }), sdlora::ShapeError);
  CHECK_THROWS_AS((sdlora::selective_scan_backward<dyn, everything>(p.inputs(), nullptr, d_out, {},
                                                                    gradients.outputs(), workspace)),
                  sdlora::ShapeError);
  CHECK_THROWS_AS(
      (sdlora::selective_scan_backward<dyn, everything>(
          p.inputs(), checkpoints.data(), p.matrix(p.d_out, 3, 3), {}, gradients.outputs(), workspace)),
      sdlora::ShapeError);
  auto in = p.inputs();
  in.z = {};
  CHECK_THROWS_AS((sdlora::selective_scan_backward<dyn, everything>(in, checkpoints.data(), d_out, {},
                                                                    gradients.outputs(), workspace)),
                  sdlora::ShapeError);
  constexpr SelectiveScanGradients selected{.A = AGradient::SelectedChannels};
  for (const std::vector<std::size_t>& channels : {std::vector<std::size_t>{1, 1}, {2, 0}, {0, 3}}) {
    GradientArrays<double> some(p, channels);
    CHECK_THROWS_AS((sdlora::selective_scan_backward<dyn, selected>(p.inputs(), checkpoints.data(), d_out, {},
                                                                    some.outputs(), workspace)),
                    sdlora::ShapeError);
  }
}
