#pragma once

#include "../../scan/menu/scan.hpp"
#include "../../tensor/parallel.hpp"
#include "arguments.hpp"
#include "detail/mode.hpp"

#include <complex>
#include <cstddef>
#include <span>

namespace sdlora {

namespace detail {

/// One channel of an S4D layer by scans of complex steps h ↦ a·h + b.
template <class Policy, class T>
class S4dScannedChannel {
  using Complex = std::complex<T>;
  using Step = LinearStep<Complex>;

 public:
  S4dScannedChannel(const S4dInputs<T>& in, const Sequences& sequences, std::size_t channel)
      : in_(in), sequences_(sequences), channel_(channel), states_(in.log_A_real.cols) {}

  void forward(MatrixView<T> y, MatrixView<T> final_state, Workspace& workspace) const {
    const WorkspaceScope scope(workspace);
    const std::span<Step> h = workspace.take<Step>(sequences_.longest());
    skip(in_.u, y);
    for (std::size_t n = 0; n < states_; ++n) {
      const S4dMode mode(in_, channel_, n);
      const Complex c(mode.c);
      for (std::size_t s = 0; s < sequences_.count(); ++s) {
        const std::size_t at = sequences_.first(s), length = sequences_.length(s);
        const Complex initial = states(mode, s, n, h, workspace);
        for (std::size_t t = 0; t < length; ++t) y(at + t, channel_) += (c * h[t].b).real();
        if (!final_state) continue;
        const Complex last = length == 0 ? initial : h[length - 1].b;
        T* const pair = final_state.row(s) + pair_of(n);
        pair[0] = last.real();
        pair[1] = last.imag();
      }
    }
  }

  void backward(MatrixView<const T> d_y, const S4dGradients<T>& gradients, Workspace& workspace) const {
    const WorkspaceScope scope(workspace);
    const std::span<Step> h = workspace.take<Step>(sequences_.longest());
    const std::span<Step> g = workspace.take<Step>(sequences_.longest());
    if (gradients.u) skip(d_y, gradients.u);
    if (gradients.D) {
      double sum = 0.0;
      for (std::size_t t = 0; t < d_y.rows; ++t) {
        sum += static_cast<double>(d_y(t, channel_)) * static_cast<double>(in_.u(t, channel_));
      }
      gradients.D(0, channel_) += static_cast<T>(sum);
    }
    for (std::size_t n = 0; n < states_; ++n) {
      const S4dMode mode(in_, channel_, n);
      const Complex a(mode.a), b(mode.b), c(mode.c);
      S4dModeGradient found{};
      for (std::size_t s = 0; s < sequences_.count(); ++s) {
        const std::size_t at = sequences_.first(s), length = sequences_.length(s);
        if (length == 0) continue;
        // By the state behind step t, against time: g_t = a·g_{t+1} + c·d_y_t.
        for (std::size_t t = 0; t < length; ++t) g[t] = {a, c * d_y(at + t, channel_)};
        scan(Policy{}, g.first(length), g.first(length), {.direction = ScanDirection::Reverse},
             LinearRecurrence<Complex>{}, workspace);
        if (gradients.u) {
          for (std::size_t t = 0; t < length; ++t) gradients.u(at + t, channel_) += (b * g[t].b).real();
        }
        if (gradients.initial_state) {
          const Complex d_initial = a * g[0].b;
          T* const pair = gradients.initial_state.row(s) + pair_of(n);
          pair[0] += d_initial.real();
          pair[1] -= d_initial.imag();
        }
        if (!gradients.kernel()) continue;
        Complex before = states(mode, s, n, h, workspace);
        for (std::size_t t = 0; t < length; ++t) {
          found.c += std::complex<double>(d_y(at + t, channel_) * h[t].b);
          found.b += std::complex<double>(in_.u(at + t, channel_) * g[t].b);
          found.z += std::complex<double>(g[t].b * before);
          before = h[t].b;
        }
      }
      if (!gradients.kernel()) continue;
      found.z *= mode.a;  // from that by exp(z) to that by z
      found.add_to(gradients, mode, channel_, n);
    }
  }

 private:
  /// Where the pair of state n lies among those of a sequence.
  std::size_t pair_of(std::size_t n) const { return 2 * (states_ * channel_ + n); }

  /// to = D·from.
  void skip(MatrixView<const T> from, MatrixView<T> to) const {
    const T d = in_.D ? in_.D(0, channel_) : T(0);
    for (std::size_t t = 0; t < to.rows; ++t) to(t, channel_) = d * from(t, channel_);
  }

  /// State n behind every step of sequence s, as the `b` of `h`; returns the one before the first.
  Complex states(const S4dMode& mode, std::size_t s, std::size_t n, std::span<Step> h,
                 Workspace& workspace) const {
    const std::size_t at = sequences_.first(s), length = sequences_.length(s);
    Complex initial;
    if (in_.initial_state) {
      const T* const pair = in_.initial_state.row(s) + pair_of(n);
      initial = {pair[0], pair[1]};
    }
    const Complex a(mode.a), b(mode.b);
    for (std::size_t t = 0; t < length; ++t) h[t] = {a, b * in_.u(at + t, channel_)};
    if (length > 0) h[0].b += a * initial;
    scan(Policy{}, h.first(length), h.first(length), {}, LinearRecurrence<Complex>{}, workspace);
    return initial;
  }

  const S4dInputs<T>& in_;
  const Sequences& sequences_;
  std::size_t channel_, states_;
};

}  // namespace detail

/// The S4D layer by a scan of the menu under the affine operator of complex numbers: one scan for each state
/// of each channel and sequence. `Policy` scans any operator, as Blelloch or Sequential. To compare
/// algorithms by; S4dRecurrence is faster on a CPU. Results do not depend on the number of threads.
template <ElementScan Policy>
struct S4dScan {
  /// As S4dRecurrence::forward.
  template <class T>
  static void forward(const S4dInputs<T>& in, MatrixView<T> y, MatrixView<T> final_state, Workspace&) {
    const detail::S4dSequences of_call(in.sequences, in.u.rows);
    detail::check_s4d<T, Cpu>(in, of_call.sequences, y);
    detail::require_s4d_view("final states", final_state, of_call.sequences.count(),
                             2 * in.log_A_real.rows * in.log_A_real.cols);
    parallel_for(in.log_A_real.rows, [&](std::size_t channel) {
      detail::S4dScannedChannel<Policy, T>(in, of_call.sequences, channel)
          .forward(y, final_state, thread_workspace());
    });
  }
  /// As S4dRecurrence::backward.
  template <class T>
  static void backward(const S4dInputs<T>& in, MatrixView<const T> d_y, const S4dGradients<T>& gradients,
                       Workspace&) {
    const detail::S4dSequences of_call(in.sequences, in.u.rows);
    detail::check_s4d<T, Cpu>(in, of_call.sequences, d_y);
    detail::check_s4d_gradients(in, of_call.sequences, gradients);
    parallel_for(in.log_A_real.rows, [&](std::size_t channel) {
      detail::S4dScannedChannel<Policy, T>(in, of_call.sequences, channel)
          .backward(d_y, gradients, thread_workspace());
    });
  }
};

}  // namespace sdlora
