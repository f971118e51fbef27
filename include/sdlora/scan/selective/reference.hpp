#pragma once

#include "arguments.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace sdlora {

namespace detail {

template <class T>
T reference_softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

template <class T>
T reference_sigmoid(T x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

template <class T>
T reference_initial_state(const SelectiveScanInputs<T>& in, std::size_t s, std::size_t e, std::size_t n) {
  if (!in.initial_state) return T(0);
  return in.initial_state(s, e * in.states() + n);
}

}  // namespace detail

/// The selective scan written as its definition: the oracle for every other implementation.
/// `out` is (M, E); `final_state` (S, E·N) or absent. Throws as `selective_scan_forward`.
template <class T>
void selective_scan_reference_forward(const SelectiveScanInputs<T>& in,
                                      std::type_identity_t<MatrixView<T>> out,
                                      std::type_identity_t<MatrixView<T>> final_state) {
  detail::check_selective_scan_inputs<dyn>(in);
  detail::matrix_checks(in).check_out(in, out);
  detail::check_scan_states("the final state", final_state, in.sequences.count(), in.channels() * in.states(),
                            false);
  const std::size_t E = in.channels(), N = in.states();
  std::vector<T> h(N);
  for (std::size_t s = 0; s < in.sequences.count(); ++s) {
    for (std::size_t e = 0; e < E; ++e) {
      for (std::size_t n = 0; n < N; ++n) h[n] = detail::reference_initial_state(in, s, e, n);
      for (std::size_t t = in.sequences.offsets[s]; t < in.sequences.offsets[s + 1]; ++t) {
        const T u = in.u(t, e);
        const T delta = detail::reference_softplus(in.dt(t, e) + (in.dt_bias ? in.dt_bias(0, e) : T(0)));
        T y = in.D ? in.D(0, e) * u : T(0);
        for (std::size_t n = 0; n < N; ++n) {
          h[n] = std::exp(delta * in.A(e, n)) * h[n] + delta * u * in.B(t, n);
          y += in.C(t, n) * h[n];
        }
        out(t, e) = in.z ? y * in.z(t, e) * detail::reference_sigmoid(in.z(t, e)) : y;
      }
      if (final_state) std::copy(h.begin(), h.end(), final_state.row(s) + e * N);
    }
  }
}

/// The gradients of the selective scan, by the chain rule through its definition. `d_out` is (M, E);
/// `d_final_state` (S, E·N) or absent for zero. Throws as `selective_scan_forward`.
template <class T>
void selective_scan_reference_backward(const SelectiveScanInputs<T>& in,
                                       std::type_identity_t<MatrixView<const T>> d_out,
                                       std::type_identity_t<MatrixView<const T>> d_final_state,
                                       const SelectiveScanGradients& wanted,
                                       const SelectiveScanGradientOutputs<T>& gradients) {
  detail::check_selective_scan_inputs<dyn>(in);
  detail::check_selective_scan_gradients(in, d_out, wanted, gradients);
  detail::check_scan_states("the gradient of the final state", d_final_state, in.sequences.count(),
                            in.channels() * in.states(), false);
  const std::size_t M = in.sequences.rows(), E = in.channels(), N = in.states();
  std::vector<T> d_B(M * N), d_C(M * N);  // (M, N), summed over channels
  for (std::size_t s = 0; s < in.sequences.count(); ++s) {
    const std::size_t first = in.sequences.first(s), L = in.sequences.length(s);
    for (std::size_t e = 0; e < E; ++e) {
      const T bias = in.dt_bias ? in.dt_bias(0, e) : T(0), D = in.D ? in.D(0, e) : T(0);
      std::vector<T> h((L + 1) * N);  // (L + 1, N): the state before each row, and the last
      for (std::size_t n = 0; n < N; ++n) h[n] = detail::reference_initial_state(in, s, e, n);
      for (std::size_t i = 0; i < L; ++i) {
        const T delta = detail::reference_softplus(in.dt(first + i, e) + bias);
        for (std::size_t n = 0; n < N; ++n) {
          h[(i + 1) * N + n] =
              std::exp(delta * in.A(e, n)) * h[i * N + n] + delta * in.u(first + i, e) * in.B(first + i, n);
        }
      }

      std::vector<T> d_h(N), d_A(N);  // the gradient with respect to the state after row t
      if (d_final_state) std::copy_n(d_final_state.row(s) + e * N, N, d_h.begin());
      T d_D = 0, d_bias = 0;
      for (std::size_t i = L; i-- > 0;) {
        const std::size_t t = first + i;
        const T u = in.u(t, e), raw = in.dt(t, e) + bias, delta = detail::reference_softplus(raw);
        T d_y = d_out(t, e);
        if (in.z) {
          const T z = in.z(t, e), sigmoid = detail::reference_sigmoid(z);
          T y = D * u;
          for (std::size_t n = 0; n < N; ++n) y += in.C(t, n) * h[(i + 1) * N + n];
          if (wanted.z) gradients.z(t, e) = d_y * y * sigmoid * (1 + z * (1 - sigmoid));
          d_y *= z * sigmoid;
        }
        T d_u = D * d_y, d_delta = 0;
        for (std::size_t n = 0; n < N; ++n) {
          const T a = std::exp(delta * in.A(e, n)), before = h[i * N + n];
          d_C[t * N + n] += d_y * h[(i + 1) * N + n];
          d_h[n] += d_y * in.C(t, n);
          d_B[t * N + n] += d_h[n] * delta * u;
          d_u += d_h[n] * delta * in.B(t, n);
          d_delta += d_h[n] * (u * in.B(t, n) + in.A(e, n) * a * before);
          d_A[n] += d_h[n] * delta * a * before;
          d_h[n] *= a;
        }
        const T d_dt = d_delta * detail::reference_sigmoid(raw);
        if (wanted.u) gradients.u(t, e) = d_u;
        if (wanted.dt) gradients.dt(t, e) = d_dt;
        d_D += d_y * u;
        d_bias += d_dt;
      }

      if (wanted.D) gradients.D(0, e) += d_D;
      if (wanted.dt_bias) gradients.dt_bias(0, e) += d_bias;
      std::size_t row = e;  // of A's gradient
      bool wants_A = wanted.A == AGradient::All;
      if (wanted.A == AGradient::SelectedChannels) {
        const auto found = std::lower_bound(gradients.channels.begin(), gradients.channels.end(), e);
        wants_A = found != gradients.channels.end() && *found == e;
        row = static_cast<std::size_t>(found - gradients.channels.begin());
      }
      for (std::size_t n = 0; n < N; ++n) {
        if (wants_A) gradients.A(row, n) += d_A[n];
        if (wanted.initial_state) gradients.initial_state(s, e * N + n) += d_h[n];
      }
    }
  }
  for (std::size_t t = 0; t < M; ++t) {
    for (std::size_t n = 0; n < N; ++n) {
      if (wanted.B) gradients.B(t, n) = d_B[t * N + n];
      if (wanted.C) gradients.C(t, n) = d_C[t * N + n];
    }
  }
}

}  // namespace sdlora
