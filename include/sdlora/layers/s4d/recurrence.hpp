#pragma once

#include "../../tensor/parallel.hpp"
#include "../../tensor/simd.hpp"
#include "arguments.hpp"
#include "detail/mode.hpp"

#include <algorithm>
#include <complex>
#include <cstddef>
#include <span>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// What the recurrence of all channels needs of its parameters: for each channel six rows of states, filled
/// up with zeros to full vectors: a, b and 2·C, real and imaginary parts.
template <class T>
class S4dModes {
 public:
  S4dModes(const S4dInputs<T>& in, Workspace& workspace)
      : states_(in.log_A_real.cols),
        padded_(round_up(states_, simd_width<T>)),
        values_(workspace.matrix<T>(6 * in.log_A_real.rows, padded_)) {
    parallel_for(in.log_A_real.rows, [&](std::size_t channel) {
      T* const values = of(channel);
      std::fill_n(values, 6 * padded_, T(0));
      for (std::size_t n = 0; n < states_; ++n) {
        const S4dMode mode(in, channel, n);
        const std::complex<double> each[] = {mode.a, mode.b, mode.c};
        for (std::size_t i = 0; i < 3; ++i) {
          values[2 * i * padded_ + n] = static_cast<T>(each[i].real());
          values[(2 * i + 1) * padded_ + n] = static_cast<T>(each[i].imag());
        }
      }
    });
  }
  std::size_t states() const { return states_; }
  std::size_t padded() const { return padded_; }
  T* of(std::size_t channel) const { return values_.row(6 * channel); }

 private:
  std::size_t states_, padded_;
  MatrixView<T> values_;
};

/// A vector of one channel's states.
template <class T>
struct S4dLanes {
  using V = Simd<T>;
  V a_re, a_im, b_re, b_im, c_re, c_im;

  S4dLanes(const S4dModes<T>& modes, std::size_t channel, std::size_t first) {
    const T* values = modes.of(channel) + first;
    for (V* const each : {&a_re, &a_im, &b_re, &b_im, &c_re, &c_im}) {
      *each = V::load_unaligned(values);
      values += modes.padded();
    }
  }
  /// h = a·h + b·u.
  SDLORA_INLINED void advance(V& h_re, V& h_im, V u) const {
    const V re = fused_multiply_add(a_re, h_re, V(b_re * u - a_im * h_im));
    h_im = fused_multiply_add(a_re, h_im, fused_multiply_add(a_im, h_re, V(b_im * u)));
    h_re = re;
  }
  /// Of each state the real part of c·h.
  SDLORA_INLINED V read(V h_re, V h_im) const { return c_re * h_re - c_im * h_im; }
  /// g = a·g + c·d, the gradient by the state before a step from that behind it, when all are Re(g·dh).
  SDLORA_INLINED void go_back(V& g_re, V& g_im, V d) const {
    const V re = fused_multiply_add(a_re, g_re, V(c_re * d - a_im * g_im));
    g_im = fused_multiply_add(a_re, g_im, fused_multiply_add(a_im, g_re, V(c_im * d)));
    g_re = re;
  }
};

/// A column of a matrix as an array, and back.
template <class T>
void s4d_take_column(MatrixView<const T> from, std::size_t column, std::span<T> to) {
  for (std::size_t t = 0; t < to.size(); ++t) to[t] = from(t, column);
}

/// The complex states of one channel, from pairs to padded rows of real and imaginary parts, and back.
template <class T>
void s4d_load_state(const T* pairs, std::size_t states, std::size_t padded, T* rows) {
  std::fill_n(rows, 2 * padded, T(0));
  if (pairs == nullptr) return;
  for (std::size_t n = 0; n < states; ++n) {
    rows[n] = pairs[2 * n];
    rows[padded + n] = pairs[2 * n + 1];
  }
}

/// The channel by channel recurrence of one sequence.
template <class T>
void s4d_forward_channel(const S4dModes<T>& modes, std::size_t channel, std::span<const T> u, std::span<T> y,
                         T* state) {
  using V = Simd<T>;
  const std::size_t padded = modes.padded();
  for (std::size_t first = 0; first < padded; first += simd_width<T>) {
    const S4dLanes<T> lanes(modes, channel, first);
    V re = V::load_unaligned(state + first), im = V::load_unaligned(state + padded + first);
    for (std::size_t t = 0; t < u.size(); ++t) {
      lanes.advance(re, im, V(u[t]));
      y[t] += xsimd::hadd(lanes.read(re, im));
    }
    re.store_unaligned(state + first);
    im.store_unaligned(state + padded + first);
  }
}

/// The sums that one channel's gradients are made of, for padded states: rows of the real and imaginary parts
/// of the gradients by c, b and a, and by the initial state.
template <class T>
struct S4dSums {
  T* values;
  std::size_t padded;
  T* c() const { return values; }
  T* b() const { return values + 2 * padded; }
  T* a() const { return values + 4 * padded; }
  T* initial() const { return values + 6 * padded; }
};

/// Backward of one channel of one sequence: d_u, unless empty, is added to; `sums` are written, by
/// c, b and a where `Parameters`. `states` has room for 2·(length + 1) vectors.
template <bool Parameters, class T>
void s4d_backward_channel(const S4dModes<T>& modes, std::size_t channel, std::span<const T> u,
                          std::span<const T> d_y, std::span<T> d_u, const T* initial, const S4dSums<T>& sums,
                          T* states) {
  using V = Simd<T>;
  constexpr std::size_t W = simd_width<T>;
  const std::size_t padded = modes.padded(), length = u.size();
  for (std::size_t first = 0; first < padded; first += W) {
    const S4dLanes<T> lanes(modes, channel, first);
    const auto store = [&](T* to, V re, V im) {
      re.store_unaligned(to + first);
      im.store_unaligned(to + padded + first);
    };
    if constexpr (Parameters) {
      V re = V::load_unaligned(initial + first), im = V::load_unaligned(initial + padded + first);
      V c_re(T(0)), c_im(T(0));
      T* to = states;
      re.store_unaligned(to);
      im.store_unaligned(to + W);
      for (std::size_t t = 0; t < length; ++t) {
        lanes.advance(re, im, V(u[t]));
        const V d(d_y[t]);
        c_re = fused_multiply_add(d, re, c_re);
        c_im = fused_multiply_add(d, im, c_im);
        to += 2 * W;
        re.store_unaligned(to);
        im.store_unaligned(to + W);
      }
      store(sums.c(), c_re, c_im);
    }
    V g_re(T(0)), g_im(T(0)), b_re(T(0)), b_im(T(0)), a_re(T(0)), a_im(T(0));
    for (std::size_t t = length; t-- > 0;) {
      lanes.go_back(g_re, g_im, V(d_y[t]));
      if (!d_u.empty()) d_u[t] += xsimd::hadd(V(lanes.b_re * g_re - lanes.b_im * g_im));
      if constexpr (Parameters) {
        const V x(u[t]);
        b_re = fused_multiply_add(x, g_re, b_re);
        b_im = fused_multiply_add(x, g_im, b_im);
        const V h_re = V::load_unaligned(states + 2 * W * t),
                h_im = V::load_unaligned(states + 2 * W * t + W);
        a_re = fused_multiply_add(g_re, h_re, V(a_re - g_im * h_im));
        a_im = fused_multiply_add(g_re, h_im, fused_multiply_add(g_im, h_re, a_im));
      }
    }
    if constexpr (Parameters) {
      store(sums.b(), b_re, b_im);
      store(sums.a(), a_re, a_im);
    }
    // By the initial state: once more through a.
    store(sums.initial(), V(lanes.a_re * g_re - lanes.a_im * g_im), V(lanes.a_re * g_im + lanes.a_im * g_re));
  }
}

/// How many channels one task of the recurrence has.
inline constexpr std::size_t s4d_channels = 8;

template <class T>
void s4d_recurrence_forward(const S4dInputs<T>& in, const Sequences& sequences, MatrixView<T> y,
                            MatrixView<T> final_state, Workspace& workspace) {
  const WorkspaceScope scope(workspace);
  const S4dModes<T> modes(in, workspace);
  const std::size_t H = in.log_A_real.rows, N = modes.states(), padded = modes.padded();
  const std::size_t blocks = ceil_div(H, s4d_channels);
  parallel_for(sequences.count() * blocks, [&](std::size_t task) {
    const std::size_t s = task / blocks, begin = task % blocks * s4d_channels;
    const std::size_t length = sequences.length(s), at = sequences.first(s);
    Workspace& own = thread_workspace();
    const WorkspaceScope own_scope(own);
    const std::span<T> u = own.take<T>(length), out = own.take<T>(length), state = own.take<T>(2 * padded);
    for (std::size_t c = begin; c < std::min(H, begin + s4d_channels); ++c) {
      s4d_take_column(in.u.rows_from(at, length), c, u);
      const T skip = in.D ? in.D(0, c) : T(0);
      for (std::size_t t = 0; t < length; ++t) out[t] = skip * u[t];
      s4d_load_state(in.initial_state ? in.initial_state.row(s) + 2 * N * c : nullptr, N, padded,
                     state.data());
      s4d_forward_channel<T>(modes, c, u, out, state.data());
      for (std::size_t t = 0; t < length; ++t) y(at + t, c) = out[t];
      if (!final_state) continue;
      T* const pairs = final_state.row(s) + 2 * N * c;
      for (std::size_t n = 0; n < N; ++n) {
        pairs[2 * n] = state[n];
        pairs[2 * n + 1] = state[padded + n];
      }
    }
  });
}

template <class T>
void s4d_recurrence_backward(const S4dInputs<T>& in, const Sequences& sequences, MatrixView<const T> d_y,
                             const S4dGradients<T>& gradients, Workspace& workspace) {
  const WorkspaceScope scope(workspace);
  const S4dModes<T> modes(in, workspace);
  const std::size_t H = in.log_A_real.rows, N = modes.states(), padded = modes.padded();
  const std::size_t longest = sequences.longest();
  // All sequences of a channel in one task: its sums are added in their order.
  parallel_for(H, [&](std::size_t c) {
    Workspace& own = thread_workspace();
    const WorkspaceScope own_scope(own);
    const bool parameters = gradients.kernel();
    const std::span<T> u = own.take<T>(longest), d = own.take<T>(longest), d_u = own.take<T>(longest);
    const std::span<T> initial = own.take<T>(2 * padded), values = own.take<T>(8 * padded);
    const std::span<T> states = own.take<T>(parameters ? 2 * simd_width<T> * (longest + 1) : 0);
    const std::span<S4dModeGradient> found = own.take<S4dModeGradient>(N);
    for (S4dModeGradient& each : found) each = {};
    const S4dSums<T> sums{values.data(), padded};
    const T skip = in.D ? in.D(0, c) : T(0);
    double d_skip = 0.0;
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      const std::size_t length = sequences.length(s), at = sequences.first(s);
      const std::span<T> x = u.first(length), g = d.first(length);
      s4d_take_column(in.u.rows_from(at, length), c, x);
      s4d_take_column(d_y.rows_from(at, length), c, g);
      const std::span<T> to = d_u.first(gradients.u ? length : 0);
      for (std::size_t t = 0; t < to.size(); ++t) to[t] = skip * g[t];
      if (gradients.D) {
        for (std::size_t t = 0; t < length; ++t)
          d_skip += static_cast<double>(g[t]) * static_cast<double>(x[t]);
      }
      s4d_load_state(in.initial_state ? in.initial_state.row(s) + 2 * N * c : nullptr, N, padded,
                     initial.data());
      if (parameters) {
        s4d_backward_channel<true, T>(modes, c, x, g, to, initial.data(), sums, states.data());
        const auto add = [&](std::complex<double>& sum, const T* from, std::size_t n) {
          sum += std::complex<double>(static_cast<double>(from[n]), static_cast<double>(from[padded + n]));
        };
        for (std::size_t n = 0; n < N; ++n) {
          add(found[n].c, sums.c(), n);
          add(found[n].b, sums.b(), n);
          add(found[n].z, sums.a(), n);
        }
      } else {
        s4d_backward_channel<false, T>(modes, c, x, g, to, initial.data(), sums, states.data());
      }
      for (std::size_t t = 0; t < to.size(); ++t) gradients.u(at + t, c) = to[t];
      if (!gradients.initial_state) continue;
      T* const pairs = gradients.initial_state.row(s) + 2 * N * c;
      for (std::size_t n = 0; n < N; ++n) {
        pairs[2 * n] += sums.initial()[n];
        pairs[2 * n + 1] -= sums.initial()[padded + n];  // dL = Re(g·dh)
      }
    }
    if (gradients.D) gradients.D(0, c) += static_cast<T>(d_skip);
    if (!parameters) return;
    for (std::size_t n = 0; n < N; ++n) {
      const S4dMode mode(in, c, n);
      found[n].z *= mode.a;  // from that by exp(z) to that by z
      found[n].add_to(gradients, mode, c, n);
    }
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// The S4D layer step by step: O(M·H·N) work, a vector of states at a time. Backward computes the states
/// again. Nothing is allocated once the workspaces have grown. Results do not depend on the number of
/// threads.
struct S4dRecurrence {
  /// y (M, H), which may not be u; the state behind each sequence (S, 2HN) unless absent. Throws ShapeError.
  template <class T>
  static void forward(const S4dInputs<T>& in, MatrixView<T> y, MatrixView<T> final_state,
                      Workspace& workspace) {
    const detail::S4dSequences of_call(in.sequences, in.u.rows);
    detail::check_s4d<T, Cpu>(in, of_call.sequences, y);
    detail::require_s4d_view("final states", final_state, of_call.sequences.count(),
                             2 * in.log_A_real.rows * in.log_A_real.cols);
    detail::s4d_recurrence_forward(in, of_call.sequences, y, final_state, workspace);
  }
  /// All gradients that are wanted, from that of y, d_y (M, H). Throws ShapeError.
  template <class T>
  static void backward(const S4dInputs<T>& in, MatrixView<const T> d_y, const S4dGradients<T>& gradients,
                       Workspace& workspace) {
    const detail::S4dSequences of_call(in.sequences, in.u.rows);
    detail::check_s4d<T, Cpu>(in, of_call.sequences, d_y);
    detail::check_s4d_gradients(in, of_call.sequences, gradients);
    detail::s4d_recurrence_backward(in, of_call.sequences, d_y, gradients, workspace);
  }
};

static_assert(S4dEvaluation<S4dRecurrence>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
