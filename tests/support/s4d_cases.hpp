#pragma once

#include "finite_differences.hpp"
#include "numbers.hpp"
#include "padded.hpp"

#include <sdlora/layers/s4d/arguments.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

// The S4D layer in any way of evaluation, on sequences of odd lengths.
namespace sdlora_test {

/// Arrays and shapes of a call. Matrices of rows have gaps behind these.
template <class T>
struct S4dProblem {
  std::size_t H, N;
  std::vector<std::size_t> offsets{0};
  Padded<T> u;
  std::vector<T> log_A_real, A_imag, C, log_dt, D, initial;
  bool shared;

  S4dProblem(const std::vector<std::size_t>& lengths, std::size_t channels, std::size_t states,
             bool shared_state = false)
      : H(channels), N(states), u(0, 0, 0), shared(shared_state) {
    for (const std::size_t length : lengths) offsets.push_back(offsets.back() + length);
    Normals normals(100 * channels + 10 * states + offsets.back());
    u = Padded<T>(offsets.back(), H, 3, normals.vector<double>(offsets.back() * H));
    log_A_real = normals.vector<T>(H * N, 0.7, -0.5);
    A_imag = normals.vector<T>(H * N, 3.0);
    C = normals.vector<T>(H * 2 * N);
    log_dt = normals.vector<T>(H, 0.8, -1.5);
    D = normals.vector<T>(H);
    initial = normals.vector<T>((shared ? 1 : lengths.size()) * 2 * H * N);
  }
  std::size_t sequences() const { return offsets.size() - 1; }
  std::size_t rows() const { return offsets.back(); }
  template <class Values>
  static auto matrix(Values& values, std::size_t rows) {
    using View = sdlora::MatrixView<std::remove_reference_t<decltype(values[0])>>;
    return View(values.data(), rows, rows == 0 ? 0 : values.size() / rows);
  }
  template <class Values>
  auto states(Values& values) const {
    auto view = matrix(values, shared ? 1 : sequences());
    view.rows = sequences();
    if (shared) view.stride = 0;
    return view;
  }
  sdlora::S4dInputs<T> inputs() const {
    return {.sequences = {offsets},
            .u = u.view,
            .log_A_real = matrix(log_A_real, H),
            .A_imag = matrix(A_imag, H),
            .C = matrix(C, H),
            .log_dt = matrix(log_dt, 1),
            .D = matrix(D, 1),
            .initial_state = states(initial)};
  }
  std::complex<double> start(std::size_t s, std::size_t c, std::size_t n) const {
    const std::size_t at = (shared ? 0 : s) * 2 * H * N + 2 * (c * N + n);
    return {static_cast<double>(initial[at]), static_cast<double>(initial[at + 1])};
  }
};

/// The definition: outputs (M, H) and final states (S, 2HN), in long double.
template <class T>
std::pair<std::vector<double>, std::vector<double>> plain_s4d(const S4dProblem<T>& p) {
  using Complex = std::complex<long double>;
  std::vector<double> out(p.rows() * p.H), last(p.sequences() * 2 * p.H * p.N);
  for (std::size_t c = 0; c < p.H; ++c) {
    const long double dt = std::exp(static_cast<long double>(p.log_dt[c]));
    for (std::size_t s = 0; s < p.sequences(); ++s) {
      for (std::size_t t = p.offsets[s]; t < p.offsets[s + 1]; ++t) {
        out[t * p.H + c] = static_cast<double>(p.D[c]) * static_cast<double>(p.u.view(t, c));
      }
      for (std::size_t n = 0; n < p.N; ++n) {
        const std::size_t i = c * p.N + n;
        const Complex A(-std::exp(static_cast<long double>(p.log_A_real[i])),
                        static_cast<long double>(p.A_imag[i]));
        const Complex a = std::exp(dt * A), b = (a - 1.0L) / A;
        Complex h = p.start(s, c, n);
        for (std::size_t t = p.offsets[s]; t < p.offsets[s + 1]; ++t) {
          h = a * h + b * static_cast<long double>(p.u.view(t, c));
          const Complex C(static_cast<long double>(p.C[2 * i]), static_cast<long double>(p.C[2 * i + 1]));
          out[t * p.H + c] += static_cast<double>(2.0L * (C * h).real());
        }
        last[s * 2 * p.H * p.N + 2 * i] = static_cast<double>(h.real());
        last[s * 2 * p.H * p.N + 2 * i + 1] = static_cast<double>(h.imag());
      }
    }
  }
  return {out, last};
}

/// `again_tolerance` is how far a second run, to another place in memory, may be from the first.
template <class Way, class T>
void check_s4d_forward(double tolerance, double again_tolerance = 0.0) {
  for (const std::size_t H : {1U, 3U, 5U, 17U}) {
    for (const std::size_t N : {1U, 2U, 7U, 16U, 19U}) {
      for (const bool shared : {false, true}) {
        CAPTURE(H);
        CAPTURE(N);
        CAPTURE(shared);
        const S4dProblem<T> p({1, 13, 0, 2, 13, 67}, H, N, shared);
        const auto [expected, expected_last] = plain_s4d(p);
        Padded<T> y(p.rows(), H, 2);
        std::vector<T> last(p.sequences() * 2 * H * N);
        sdlora::Workspace workspace;
        const sdlora::MatrixView<T> states(last.data(), p.sequences(), 2 * H * N);
        Way::forward(p.inputs(), y.view, states, workspace);
        CHECK(relative_error(y.values(), expected) <= tolerance);
        CHECK(relative_error(last, expected_last) <= tolerance);
        Padded<T> again(p.rows(), H, 0);
        Way::forward(p.inputs(), again.view, {}, workspace);
        const std::vector<T> first = y.values();
        CHECK(relative_error(again.values(), std::vector<double>(first.begin(), first.end())) <=
              again_tolerance);
        CHECK(workspace.bytes_in_use() == 0);
      }
    }
  }
}

/// Reading a sequence in two pieces, the second on from the first's final state.
template <class Way, class T>
void check_s4d_continues(double tolerance) {
  const std::size_t H = 5, N = 3;
  const S4dProblem<T> whole({31}, H, N);
  const auto [expected, expected_last] = plain_s4d(whole);
  sdlora::Workspace workspace;
  Padded<T> y(31, H, 0);
  std::vector<T> state(2 * H * N);
  const sdlora::MatrixView<T> states(state.data(), 1, state.size());
  sdlora::S4dInputs<T> in = whole.inputs();
  in.sequences = {};
  const auto all = in.u;
  in.u = all.rows_from(0, 12);
  Way::forward(in, y.view.rows_from(0, 12), states, workspace);
  const std::vector<T> between = state;
  in.initial_state = sdlora::MatrixView<const T>(between.data(), 1, between.size());
  in.u = all.rows_from(12, 19);
  Way::forward(in, y.view.rows_from(12, 19), states, workspace);
  CHECK(relative_error(y.values(), expected) <= tolerance);
  CHECK(relative_error(state, expected_last) <= tolerance);
}

/// Every gradient against finite differences in double, added to what is there; and each without the others.
template <class Way>
void check_s4d_gradients(const std::vector<std::size_t>& lengths, std::size_t H, std::size_t N, bool shared) {
  CAPTURE(H);
  CAPTURE(N);
  CAPTURE(shared);
  using sdlora::MatrixView;
  S4dProblem<double> p(lengths, H, N, shared);
  const Padded<double> upstream(p.rows(), H, 1, Normals(H).vector<double>(p.rows() * H));
  sdlora::Workspace workspace;
  Padded<double> y(p.rows(), H, 0);
  const auto loss = [&] {
    Way::forward(p.inputs(), y.view, {}, workspace);
    double sum = 0.0;
    for (std::size_t t = 0; t < p.rows(); ++t) {
      for (std::size_t c = 0; c < H; ++c) sum += y.view(t, c) * upstream.view(t, c);
    }
    return sum;
  };
  struct Named {
    const char* name;
    std::vector<double>* values;
    MatrixView<double> sdlora::S4dGradients<double>::* to;
    std::size_t rows;
  };
  using Gradients = sdlora::S4dGradients<double>;
  Padded<double> d_u(p.rows(), H, 2);
  Gradients all{.u = d_u.view};
  std::vector<Named> parameters{{"log_A_real", &p.log_A_real, &Gradients::log_A_real, H},
                                {"A_imag", &p.A_imag, &Gradients::A_imag, H},
                                {"C", &p.C, &Gradients::C, H},
                                {"log_dt", &p.log_dt, &Gradients::log_dt, 1},
                                {"D", &p.D, &Gradients::D, 1}};
  constexpr double before = 10.0;
  std::vector<std::vector<double>> found;
  for (const Named& each : parameters) found.emplace_back(each.values->size(), before);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    all.*parameters[i].to = S4dProblem<double>::matrix(found[i], parameters[i].rows);
  }
  std::vector<double> d_initial(p.initial.size(), before);
  all.initial_state = p.states(d_initial);
  Way::backward(p.inputs(), MatrixView<const double>(upstream.view), all, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    // Alone, the same bits.
    std::vector<double> alone(found[i].size(), before);
    Gradients one;
    one.*parameters[i].to = S4dProblem<double>::matrix(alone, parameters[i].rows);
    Way::backward(p.inputs(), MatrixView<const double>(upstream.view), one, workspace);
    CHECK(alone == found[i]);
    for (double& value : found[i]) value -= before;
    check_gradient(parameters[i].name, *parameters[i].values, found[i], loss);
  }
  for (double& value : d_initial) value -= before;
  check_gradient("initial state", p.initial, d_initial, loss);
  Padded<double> d_u_alone(p.rows(), H, 0);
  Way::backward(p.inputs(), MatrixView<const double>(upstream.view), Gradients{.u = d_u_alone.view},
                workspace);
  CHECK(d_u_alone.values() == d_u.values());
  // u has gaps: its values as an array of their own.
  std::vector<double> u = p.u.values();
  const std::vector<double> d_u_values = d_u.values();
  check_gradient("u", u, d_u_values, [&] {
    for (std::size_t i = 0; i < u.size(); ++i) p.u.view(i / H, i % H) = u[i];
    return loss();
  });
}

template <class Way>
void check_s4d_all_gradients() {
  check_s4d_gradients<Way>({1}, 1, 1, false);
  check_s4d_gradients<Way>({7, 0, 1, 13}, 3, 2, false);
  check_s4d_gradients<Way>({11, 3}, 5, 17, true);
}

/// What does not fit is refused.
template <class Way>
void check_s4d_errors() {
  using sdlora::ShapeError;
  const S4dProblem<float> p({4, 3}, 3, 2);
  sdlora::Workspace workspace;
  Padded<float> y(7, 3, 0), low(6, 3, 0), wide(7, 4, 0);
  const auto refused = [&](auto change) {
    sdlora::S4dInputs<float> in = p.inputs();
    change(in);
    CHECK_THROWS_AS(Way::forward(in, y.view, {}, workspace), ShapeError);
    CHECK_THROWS_AS(Way::backward(in, sdlora::MatrixView<const float>(y.view), {}, workspace), ShapeError);
  };
  using In = sdlora::S4dInputs<float>;
  refused([](In& in) { in.C = in.C.cols_from(0, 2); });
  refused([](In& in) { in.A_imag = in.A_imag.rows_from(0, 2); });
  refused([](In& in) { in.A_imag = {}; });
  refused([](In& in) { in.log_dt = in.log_dt.cols_from(0, 2); });
  refused([](In& in) { in.D = in.D.cols_from(0, 1); });
  refused([](In& in) { in.u = in.u.cols_from(0, 2); });
  refused([](In& in) { in.initial_state = in.initial_state.rows_from(0, 1); });
  const std::vector<std::size_t> short_offsets{0, 4};
  refused([&](In& in) { in.sequences = {short_offsets}; });
  CHECK_THROWS_AS(Way::forward(p.inputs(), low.view, {}, workspace), ShapeError);
  CHECK_THROWS_AS(Way::forward(p.inputs(), wide.view, {}, workspace), ShapeError);
  CHECK_THROWS_AS(Way::forward(p.inputs(), y.view, y.view, workspace), ShapeError);
  CHECK_THROWS_AS(Way::backward(p.inputs(), sdlora::MatrixView<const float>(y.view),
                                sdlora::S4dGradients<float>{.C = y.view}, workspace),
                  ShapeError);
}

}  // namespace sdlora_test
