#include <doctest/doctest.h>

// All of scan: names of the kernels must not hide those of the host's scans.
#include <sdlora/scan.hpp>

#include <algorithm>
#include <cmath>

#include "random_scan.hpp"

namespace {

using sdlora::dyn;
using sdlora::SelectiveScanGradients;
using sdlora::Workspace;

constexpr std::size_t chunk = sdlora::detail::scan_chunk;
constexpr SelectiveScanGradients all = SelectiveScanGradients::all();

template <class T>
constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;

// out, final states and checkpoints, one after another; segment_rows 0: without segments.
template <std::size_t N, class T>
std::vector<T> forward(const RandomScan<T>& p, std::size_t segment_rows) {
  Workspace workspace;
  const auto in = p.inputs();
  const std::size_t out = p.rows() * p.E, final_states = p.sequences() * p.E * p.N;
  std::vector<T> result(out + final_states + sdlora::selective_scan_checkpoint_size(in.sequences, p.E, p.N));
  T* const states = result.data() + out;
  if (segment_rows == 0) {
    sdlora::selective_scan_forward<N>(in, {result.data(), p.rows(), p.E}, p.states(states),
                                      states + final_states, workspace);
  } else {
    sdlora::selective_scan_forward_segments<N>(in, segment_rows, {result.data(), p.rows(), p.E},
                                               p.states(states), states + final_states, workspace);
  }
  return result;
}

template <std::size_t N, SelectiveScanGradients Wanted = all, class T>
std::vector<T> backward(const RandomScan<T>& p, std::size_t segment_rows, bool with_final = true) {
  Workspace workspace;
  const auto kept = forward<dyn>(p, 0);
  const T* checkpoints = kept.data() + p.rows() * p.E + p.sequences() * p.E * p.N;
  GradientArrays<T> gradients(p);
  const sdlora::MatrixView<const T> d_out = p.matrix(p.d_out, p.rows(), p.E);
  const sdlora::MatrixView<const T> d_final_state =
      with_final ? p.states(p.d_final_state.data()) : sdlora::MatrixView<const T>{};
  if (segment_rows == 0) {
    sdlora::selective_scan_backward<N, Wanted>(p.inputs(), checkpoints, d_out, d_final_state,
                                               gradients.outputs(), workspace);
  } else {
    sdlora::selective_scan_backward_segments<N, Wanted>(p.inputs(), segment_rows, checkpoints, d_out,
                                                        d_final_state, gradients.outputs(), workspace);
  }
  return gradients.flat();
}

template <class T>
std::vector<RandomScan<T>> problems() {
  std::vector<RandomScan<T>> list;
  for (const std::size_t L : {1UL, chunk - 1, chunk, chunk + 1, 2 * chunk, 4 * chunk + 1, 331UL}) {
    list.emplace_back(std::vector{L}, 5, 4);
  }
  list.emplace_back(std::vector<std::size_t>{0, 131, 1, 0, 2 * chunk, 2 * chunk + 1, 200}, 19, 4);
  list.emplace_back(std::vector<std::size_t>{}, 3, 4);
  list.emplace_back(std::vector<std::size_t>{150, 90}, 37, 4);
  list.back().shared_initial = true;
  list.emplace_back(std::vector<std::size_t>{300}, 16, 4);
  list.back().with_initial = list.back().with_bias = list.back().with_z = list.back().with_D = false;
  for (auto& p : list) {
    for (T& value : p.dt) value = value < T(1e20) ? value - T(3) : value;  // states that outlive a segment
  }
  return list;
}

}  // namespace

TEST_CASE_TEMPLATE("selective_scan_segments: forward as without segments", T, float, double) {
  for (const auto& p : problems<T>()) {
    CAPTURE(p.rows());
    CAPTURE(p.E);
    for (const std::size_t segment_rows : {chunk, 2 * chunk, 4 * chunk, 4096UL}) {
      CHECK(difference(forward<4>(p, segment_rows), forward<4>(p, 0)) < tolerance<T>);
      CHECK(forward<4>(p, segment_rows) == forward<dyn>(p, segment_rows));
    }
    CHECK(forward<4>(p, 4096) == forward<4>(p, 0));  // nothing is cut
  }
}

TEST_CASE_TEMPLATE("selective_scan_segments: all gradients as without segments", T, float, double) {
  for (const auto& p : problems<T>()) {
    if (!p.with_z) continue;
    CAPTURE(p.rows());
    CAPTURE(p.E);
    for (const std::size_t segment_rows : {chunk, 3 * chunk, 4096UL}) {
      for (const bool with_final : {false, true}) {
        const auto got = backward<dyn>(p, segment_rows, with_final),
                   expected = backward<dyn>(p, 0, with_final);
        CHECK(difference(got, expected) < tolerance<T>);
      }
    }
  }
}

TEST_CASE("selective_scan_segments: some gradients as without segments") {
  constexpr SelectiveScanGradients without_gate{.u = true,
                                                .dt = true,
                                                .B = true,
                                                .C = true,
                                                .A = sdlora::AGradient::All,
                                                .dt_bias = true,
                                                .initial_state = true};
  constexpr SelectiveScanGradients state{.initial_state = true};
  for (const auto& p : problems<double>()) {
    CAPTURE(p.rows());
    CAPTURE(p.E);
    CHECK(difference(backward<dyn, without_gate>(p, chunk), backward<dyn, without_gate>(p, 0)) < 1e-12);
    CHECK(difference(backward<dyn, state>(p, chunk), backward<dyn, state>(p, 0)) < 1e-12);
  }
}

TEST_CASE_TEMPLATE("selective_scan_segments: a state of zero stays so, however large the decay", T, float,
                   double) {
  RandomScan<T> p({4096, 131}, 5, 4);
  p.with_initial = false;
  for (T& value : p.A) value = T(5);  // over a segment the decay is infinite
  for (T& value : p.u) value = T(0);
  const auto plain = forward<4>(p, 0);
  CHECK(std::count(plain.begin(), plain.end(), T(0)) == static_cast<std::ptrdiff_t>(plain.size()));
  CHECK(forward<4>(p, 40 * chunk) == plain);
  for (T& value : p.d_out) value = T(0);
  constexpr SelectiveScanGradients inputs{.u = true, .B = true, .initial_state = true};
  CHECK(backward<4, inputs>(p, 40 * chunk, false) == backward<4, inputs>(p, 0, false));
}

TEST_CASE("selective_scan_segments: A > 0, while nothing overflows") {
  RandomScan<double> p({331}, 5, 4);
  for (double& value : p.A) value = value < 1e20 ? 0.01 : value;
  CHECK(difference(forward<4>(p, 3 * chunk), forward<4>(p, 0)) < 1e-12);
  CHECK(difference(backward<dyn>(p, 3 * chunk), backward<dyn>(p, 0)) < 1e-11);
}

TEST_CASE("selective_scan_segments: the same bits for any number of threads") {
  const RandomScan<float> p({2000, 130}, 35, 16);
  const std::size_t before = sdlora::thread_count();
  sdlora::set_thread_count(1);
  const auto states = forward<dyn>(p, 256), gradients = backward<dyn>(p, 256);
  for (const std::size_t threads : {2UL, 3UL}) {
    sdlora::set_thread_count(threads);
    CHECK(forward<dyn>(p, 256) == states);
    CHECK(backward<dyn>(p, 256) == gradients);
  }
  sdlora::set_thread_count(before);
}

TEST_CASE("selective_scan_segments: any length but none, and what does not fit is refused") {
  const RandomScan<double> p({140}, 3, 4);
  for (const std::size_t rows : {1UL, chunk - 1, chunk + 1, 140UL, ~0UL}) {
    CHECK(difference(forward<4>(p, rows), forward<4>(p, 0)) < 1e-12);
    CHECK(difference(backward<dyn>(p, rows), backward<dyn>(p, 0)) < 1e-12);
  }
  auto in = p.inputs();
  Workspace workspace;
  CHECK_THROWS_WITH_AS(sdlora::selective_scan_forward_segments<4>(in, 0, {}, {}, nullptr, workspace),
                       doctest::Contains("segments of 0 rows"), sdlora::ArgumentError);
  std::vector<double> u(140 * 3, 0.5);
  in.u = {u.data(), 140, 3};
  CHECK_THROWS_WITH_AS(
      sdlora::selective_scan_forward_segments<4>(in, 32, {u.data(), 140, 3}, {}, nullptr, workspace),
      doctest::Contains("out shares memory with u"), sdlora::ArgumentError);
  in.u.cols = 2;
  CHECK_THROWS_AS(sdlora::selective_scan_forward_segments<4>(in, 32, {}, {}, nullptr, workspace),
                  sdlora::ShapeError);
}
