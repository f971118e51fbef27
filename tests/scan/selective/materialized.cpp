#include <sdlora/scan/selective/materialized.hpp>

#include <doctest/doctest.h>

#include <sdlora/scan/menu/menu.hpp>
#include <sdlora/scan/selective/fused.hpp>

#include <numeric>
#include <vector>

#include "scan_types.hpp"

using namespace sdlora;

namespace {

constexpr SelectiveScanGradients all = SelectiveScanGradients::all();
constexpr SelectiveScanGradients without_gate_and_skip{
    .u = true, .dt = true, .B = true, .C = true, .A = AGradient::All, .dt_bias = true, .initial_state = true};

template <class T>
constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;

template <class T>
std::vector<RandomScan<T>> problems() {
  std::vector<RandomScan<T>> list;
  list.emplace_back(std::vector<std::size_t>{1}, 1, 1);
  list.emplace_back(std::vector<std::size_t>{37}, 5, 3);
  list.emplace_back(std::vector<std::size_t>{0, 13, 1, 0, 33, 5}, 7, 4);
  list.emplace_back(std::vector<std::size_t>{0, 0}, 3, 2);
  list.emplace_back(std::vector<std::size_t>{}, 3, 2);
  list.emplace_back(std::vector<std::size_t>{5, 2}, 3, 0);
  list.emplace_back(std::vector<std::size_t>{5, 2}, 0, 3);
  list.emplace_back(std::vector<std::size_t>{11, 1, 6}, 3, 17);
  list.back().shared_initial = true;
  return list;
}

template <class Scan, class T>
void check_against_others() {
  for (RandomScan<T>& p : problems<T>()) {
    CAPTURE(p.rows());
    CAPTURE(p.E);
    CAPTURE(p.N);
    for (const bool with_final : {true, false}) {
      const auto got = results_of<Scan, dyn, all>(p, {}, with_final);
      CHECK(worst(got, reference_results<all>(p, {}, with_final)) < tolerance<T>);
      CHECK(worst(got, results_of<Fused, dyn, all>(p, {}, with_final)) < tolerance<T>);
    }
  }
}

// A scalar that depends on every output, with gradients d_out and d_final_state.
template <class Scan>
double objective(const RandomScan<double>& p) {
  Workspace workspace;
  std::vector<double> out(p.rows() * p.E), final_state(p.sequences() * p.E * p.N);
  Scan::template forward<2>(p.inputs(), {out.data(), p.rows(), p.E}, p.states(final_state.data()), nullptr,
                            workspace);
  double total = 0;
  for (std::size_t t = 0; t < p.rows(); ++t) {
    for (std::size_t e = 0; e < p.E; ++e) total += out[t * p.E + e] * p.d_out[t * (p.E + p.gap) + e];
  }
  return std::inner_product(final_state.begin(), final_state.end(), p.d_final_state.begin(), total);
}

using OneChannel = Materialized<SimdChannels, 1>;

}  // namespace

TEST_CASE_TEMPLATE("Materialized: every policy as the reference and the fused scan", Policy, Sequential,
                   SimdChannels, SimdStates<>, SimdStates<3>, Chunked<>, Chunked<7>, Blelloch, HillisSteele,
                   KoggeStone<>, KoggeStone<4>, Sklansky) {
  check_against_others<Materialized<Policy>, double>();
}

TEST_CASE("Materialized: float, too") {
  check_against_others<Materialized<SimdChannels>, float>();
  check_against_others<Materialized<Blelloch>, float>();
}

TEST_CASE("Materialized: without gate, skip, bias or initial state, in every combination") {
  for (unsigned absent = 0; absent < 16; ++absent) {
    CAPTURE(absent);
    RandomScan<double> p({13, 1, 0, 6}, 5, 3, absent + 1);
    p.with_z = (absent & 1U) == 0;
    p.with_D = (absent & 2U) == 0;
    p.with_bias = (absent & 4U) == 0;
    p.with_initial = (absent & 8U) == 0;
    const auto expected = reference_results<without_gate_and_skip>(p);
    CHECK(worst(results_of<Materialized<SimdChannels>, 3, without_gate_and_skip>(p), expected) < 1e-12);
    CHECK(worst(results_of<Materialized<Sklansky>, 3, without_gate_and_skip>(p), expected) < 1e-12);
  }
}

TEST_CASE("Materialized: every gradient by finite differences") {
  using Scan = Materialized<Blelloch, 1>;
  for (const bool shared : {false, true}) {
    RandomScan<double> p({3, 0, 1, 4}, 3, 2, 5);
    p.shared_initial = shared;
    const auto gradients = [&] {
      Workspace workspace;
      GradientArrays<double> result(p, {}, 0.0);
      Scan::backward<2, all>(p.inputs(), nullptr, p.matrix(p.d_out, p.rows(), p.E),
                             p.states(p.d_final_state.data()), result.outputs(), workspace);
      return result;
    }();
    const auto check = [&](std::vector<double>& parameter, const std::vector<double>& gradient,
                           std::size_t count, std::size_t cols, std::size_t stride,
                           std::size_t gradient_stride) {
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          double& value = parameter[i * stride + j];
          const double saved = value, step = 1e-5;
          value = saved + step;
          const double above = objective<Scan>(p);
          value = saved - step;
          const double below = objective<Scan>(p);
          value = saved;
          CHECK(gradient[i * gradient_stride + j] ==
                doctest::Approx((above - below) / (2 * step)).epsilon(1e-7));
        }
      }
    };
    const std::size_t M = p.rows(), wide = p.E + p.gap, narrow = p.N + p.gap, state = p.E * p.N;
    check(p.u, gradients.u, M, p.E, wide, wide);
    check(p.dt, gradients.dt, M, p.E, wide, wide);
    check(p.z, gradients.z, M, p.E, wide, wide);
    check(p.B, gradients.B, M, p.N, narrow, narrow);
    check(p.C, gradients.C, M, p.N, narrow, narrow);
    check(p.A, gradients.A, p.E, p.N, narrow, p.N);
    check(p.D, gradients.D, 1, p.E, p.E, p.E);
    check(p.dt_bias, gradients.dt_bias, 1, p.E, p.E, p.E);
    check(p.initial_state, gradients.initial_state, shared ? 1 : p.sequences(), state, state + 2, state + 2);
  }
}

TEST_CASE("Materialized: memory stays within the limit, and results do not depend on it") {
  const RandomScan<float> p({150, 0, 1, 70}, 43, 5);
  const auto peak = [&]<class Scan>(std::type_identity<Scan>, const ScanResults<float>& expected) {
    Workspace workspace;
    CHECK(results_of<Scan, 5, all>(p, {}, true, workspace) == expected);
    CHECK(workspace.bytes_in_use() == 0);
    return workspace.peak_bytes();
  };
  const auto whole = results_of<Materialized<SimdChannels>, 5, all>(p);
  CHECK(worst(whole, reference_results<all>(p)) < 2e-5);
  const std::size_t at_once = peak(std::type_identity<Materialized<SimdChannels>>{}, whole);
  // Four matrices of (221, 43·5) in float, and what lies beside them.
  CHECK(at_once > 4 * 221 * 43 * 5 * 4);
  CHECK(at_once < 2 * 4 * 221 * 43 * 5 * 4);
  const std::size_t half = peak(std::type_identity<Materialized<SimdChannels, 500'000>>{}, whole);
  CHECK(half <= 500'000);
  CHECK(half > 250'000);
  CHECK(peak(std::type_identity<Materialized<SimdChannels, 100'000>>{}, whole) <= 100'000);
  // One channel needs more than a byte; it is taken nevertheless.
  CHECK(peak(std::type_identity<OneChannel>{}, whole) < 50'000);
  CHECK(results_of<Materialized<Blelloch, 100'000>, 5, all>(p) ==
        results_of<Materialized<Blelloch>, 5, all>(p));
}

TEST_CASE("Materialized: the same bits for any number of threads, N known or not") {
  const RandomScan<float> p({150, 0, 1, 70}, 43, 5);
  const std::size_t before = thread_count();
  set_thread_count(1);
  const auto channels = results_of<Materialized<SimdChannels>, 5, all>(p);
  const auto chunks = results_of<Materialized<Chunked<32>>, 5, all>(p);
  for (const std::size_t threads : {2UL, 3UL}) {
    set_thread_count(threads);
    CHECK(results_of<Materialized<SimdChannels>, dyn, all>(p) == channels);
    CHECK(results_of<Materialized<Chunked<32>>, dyn, all>(p) == chunks);
  }
  set_thread_count(before);
}

TEST_CASE("Materialized: saves no checkpoints, and needs no more memory the second time") {
  using Scan = Materialized<SimdChannels>;
  const RandomScan<float> p({15, 20}, 6, 4);
  CHECK(Scan::checkpoint_size(p.inputs().sequences, p.E, p.N) == 0);
  Workspace workspace;
  const auto first = results_of<Scan, 4, all>(p, {}, true, workspace);
  const std::size_t peak = workspace.peak_bytes();
  workspace.reset();
  CHECK(results_of<Scan, 4, all>(p, {}, true, workspace) == first);
  CHECK(workspace.peak_bytes() == peak);
}

TEST_CASE("Materialized: what does not fit is refused, nothing written") {
  using Scan = Materialized<SimdChannels>;
  const RandomScan<double> p({14}, 3, 4);
  auto in = p.inputs();
  Workspace workspace;
  ScanResults<double> results(p), untouched(p);
  CHECK_THROWS_WITH_AS(Scan::forward<5>(in, results.out_view(), {}, nullptr, workspace),
                       doctest::Contains("A has 4 states but the call is compiled for 5"), ShapeError);
  std::vector<double> u(14 * 3, 0.5);
  in.u = {u.data(), 14, 3};
  CHECK_THROWS_WITH_AS(Scan::forward<4>(in, {u.data(), 14, 3}, {}, nullptr, workspace),
                       doctest::Contains("out shares memory with u"), ArgumentError);
  const auto d_out = p.matrix(p.d_out, p.rows(), p.E);
  auto outputs = results.gradients.outputs();
  outputs.dt = outputs.u;
  CHECK_THROWS_AS((Scan::backward<4, all>(in, nullptr, d_out, {}, outputs, workspace)), ArgumentError);
  outputs = results.gradients.outputs();
  outputs.A = {};
  CHECK_THROWS_WITH_AS((Scan::backward<4, all>(in, nullptr, d_out, {}, outputs, workspace)),
                       doctest::Contains("the gradient of A"), ShapeError);
  CHECK(results == untouched);
}
