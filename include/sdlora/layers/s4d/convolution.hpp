#pragma once

#include "../../tensor/parallel.hpp"
#include "arguments.hpp"
#include "detail/mode.hpp"

#include <algorithm>
#include <bit>
#include <complex>
#include <cstddef>
#include <span>
#include <unsupported/Eigen/FFT>
#include <vector>

// No part of <sdlora/sdlora.hpp>: Eigen's FFT is one of its unsupported modules.

namespace sdlora {
namespace detail {

/// kernel[l] = 2·Re(Σ_n C_n·b_n·a_n^l) of one channel, in double.
inline void s4d_kernel(std::span<const S4dMode> modes, std::span<double> kernel) {
  std::fill(kernel.begin(), kernel.end(), 0.0);
  for (const S4dMode& mode : modes) {
    std::complex<double> term = mode.c * mode.b;
    for (double& value : kernel) {
      value += term.real();
      term *= mode.a;
    }
  }
}

/// Causal convolutions of real sequences by Eigen's FFT, of the power of two that holds a length twice.
template <class T>
class S4dTransform {
 public:
  using Spectrum = std::vector<std::complex<T>>;

  S4dTransform() { fft_.SetFlag(Eigen::FFT<T>::HalfSpectrum); }

  static std::size_t size_for(std::size_t length) {
    return std::bit_ceil(std::max<std::size_t>(4, 2 * length));
  }

  /// The spectrum of values, zeros behind them.
  template <class Values>
  void forward(const Values& values, std::size_t size, Spectrum& to) {
    time_.assign(size, T(0));
    for (std::size_t t = 0; t < values.size(); ++t) time_[t] = static_cast<T>(values[t]);
    to.resize(size / 2 + 1);
    fft_.fwd(to.data(), time_.data(), static_cast<Eigen::Index>(size));
  }
  /// The values of a spectrum; valid until the next call.
  std::span<const T> inverse(const Spectrum& from, std::size_t size) {
    time_.resize(size);
    fft_.inv(time_.data(), from.data(), static_cast<Eigen::Index>(size));
    return time_;
  }

 private:
  Eigen::FFT<T> fft_;
  std::vector<T> time_;
};

template <class T>
std::complex<T> s4d_product(std::complex<T> a, std::complex<T> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

/// One channel by its kernel, all sequences one after another.
template <class T>
class S4dChannelConvolution {
  using Complex = std::complex<double>;

 public:
  S4dChannelConvolution(const S4dInputs<T>& in, const Sequences& sequences, std::size_t channel)
      : in_(in), sequences_(sequences), channel_(channel), kernel_(sequences.longest()) {
    for (std::size_t n = 0; n < in.log_A_real.cols; ++n) modes_.emplace_back(in, channel, n);
    s4d_kernel(modes_, kernel_);
  }

  void forward(MatrixView<T> y, MatrixView<T> final_state) {
    const T skip = in_.D ? in_.D(0, channel_) : T(0);
    for (std::size_t s = 0; s < sequences_.count(); ++s) {
      const std::size_t at = sequences_.first(s), length = sequences_.length(s);
      column(in_.u, s, u_);
      if (length > 0) {
        const std::size_t size = with_kernel(length);
        transform_.forward(u_, size, spectrum_);
        for (std::size_t i = 0; i < spectrum_.size(); ++i) {
          spectrum_[i] = s4d_product(spectrum_[i], kernel_spectrum_[i]);
        }
        const std::span<const T> out = transform_.inverse(spectrum_, size);
        for (std::size_t t = 0; t < length; ++t) y(at + t, channel_) = out[t] + skip * u_[t];
      }
      for (std::size_t n = 0; n < modes_.size(); ++n) {
        const Complex initial = initial_state(s, n);
        if (initial != 0.0) {
          Complex h = modes_[n].c * initial;
          for (std::size_t t = 0; t < length; ++t) {
            h *= modes_[n].a;
            y(at + t, channel_) += static_cast<T>(h.real());
          }
        }
        if (!final_state) continue;
        Complex h = initial;
        for (std::size_t t = 0; t < length; ++t)
          h = modes_[n].a * h + modes_[n].b * static_cast<double>(u_[t]);
        T* const pair = final_state.row(s) + 2 * (modes_.size() * channel_ + n);
        pair[0] = static_cast<T>(h.real());
        pair[1] = static_cast<T>(h.imag());
      }
    }
  }

  void backward(MatrixView<const T> d_y, const S4dGradients<T>& gradients) {
    std::vector<S4dModeGradient> found(modes_.size());
    std::vector<double> d_kernel(kernel_.size(), 0.0);
    const T skip = in_.D ? in_.D(0, channel_) : T(0);
    double d_skip = 0.0;
    for (std::size_t s = 0; s < sequences_.count(); ++s) {
      const std::size_t at = sequences_.first(s), length = sequences_.length(s);
      if (length == 0) continue;
      column(in_.u, s, u_);
      column(d_y, s, d_);
      for (std::size_t t = 0; t < length; ++t)
        d_skip += static_cast<double>(d_[t]) * static_cast<double>(u_[t]);
      const std::size_t size = with_kernel(length);
      transform_.forward(d_, size, d_spectrum_);
      if (gradients.u) {  // d_u[t] = Σ_l kernel[l]·d_y[t + l]
        correlate(kernel_spectrum_);
        const std::span<const T> out = transform_.inverse(spectrum_, size);
        for (std::size_t t = 0; t < length; ++t) gradients.u(at + t, channel_) = out[t] + skip * d_[t];
      }
      if (gradients.kernel()) {  // d_kernel[l] = Σ_t u[t]·d_y[t + l]
        transform_.forward(u_, size, u_spectrum_);
        correlate(u_spectrum_);
        const std::span<const T> out = transform_.inverse(spectrum_, size);
        for (std::size_t l = 0; l < length; ++l) d_kernel[l] += static_cast<double>(out[l]);
      }
      initial_backward(s, gradients, found);
    }
    if (gradients.D) gradients.D(0, channel_) += static_cast<T>(d_skip);
    if (!gradients.kernel()) return;
    for (std::size_t n = 0; n < modes_.size(); ++n) {
      const S4dMode& mode = modes_[n];
      Complex sum, weighted, power = 1.0;  // Σ d_kernel[l]·a^l, and that of l times each
      for (std::size_t l = 0; l < d_kernel.size(); ++l) {
        sum += d_kernel[l] * power;
        weighted += static_cast<double>(l) * d_kernel[l] * power;
        power *= mode.a;
      }
      found[n].c += mode.b * sum;
      found[n].b += mode.c * sum;
      found[n].z += mode.c * mode.b * weighted;
      found[n].add_to(gradients, mode, channel_, n);
    }
  }

 private:
  void column(MatrixView<const T> from, std::size_t s, std::vector<T>& to) const {
    to.resize(sequences_.length(s));
    for (std::size_t t = 0; t < to.size(); ++t) to[t] = from(sequences_.first(s) + t, channel_);
  }

  Complex initial_state(std::size_t s, std::size_t n) const {
    if (!in_.initial_state) return 0.0;
    const T* pair = in_.initial_state.row(s) + 2 * (modes_.size() * channel_ + n);
    return {static_cast<double>(pair[0]), static_cast<double>(pair[1])};
  }

  /// The kernel's spectrum for sequences of this length; returns its size in time.
  std::size_t with_kernel(std::size_t length) {
    if (length != kernel_length_) {
      transform_.forward(std::span<const double>(kernel_).first(length), S4dTransform<T>::size_for(length),
                         kernel_spectrum_);
      kernel_length_ = length;
    }
    return S4dTransform<T>::size_for(length);
  }

  /// The spectrum of the correlation of d_y with what has the spectrum `by`.
  void correlate(const typename S4dTransform<T>::Spectrum& by) {
    spectrum_.resize(by.size());
    for (std::size_t i = 0; i < by.size(); ++i) spectrum_[i] = s4d_product(std::conj(by[i]), d_spectrum_[i]);
  }

  /// What d_y says through the initial state's part of y, Re(c·a^(t + 1)·h0).
  void initial_backward(std::size_t s, const S4dGradients<T>& gradients,
                        std::vector<S4dModeGradient>& found) {
    if (!in_.initial_state && !gradients.initial_state) return;
    for (std::size_t n = 0; n < modes_.size(); ++n) {
      const S4dMode& mode = modes_[n];
      Complex sum, weighted, power = 1.0;
      for (std::size_t t = 0; t < d_.size(); ++t) {
        power *= mode.a;
        sum += static_cast<double>(d_[t]) * power;
        weighted += static_cast<double>(t + 1) * static_cast<double>(d_[t]) * power;
      }
      const Complex initial = initial_state(s, n);
      found[n].c += sum * initial;
      found[n].z += mode.c * weighted * initial;
      if (!gradients.initial_state) continue;
      const Complex d_initial = mode.c * sum;
      T* const pair = gradients.initial_state.row(s) + 2 * (modes_.size() * channel_ + n);
      pair[0] += static_cast<T>(d_initial.real());
      pair[1] -= static_cast<T>(d_initial.imag());
    }
  }

  const S4dInputs<T>& in_;
  const Sequences& sequences_;
  std::size_t channel_;
  std::vector<double> kernel_;
  std::vector<S4dMode> modes_;
  S4dTransform<T> transform_;
  std::size_t kernel_length_ = 0;
  typename S4dTransform<T>::Spectrum kernel_spectrum_, spectrum_, d_spectrum_, u_spectrum_;
  std::vector<T> u_, d_;
};

}  // namespace detail

/// The S4D layer as a convolution with its kernel, by FFT: O(H·(N·L + S·L·log L)) work for S sequences of L
/// steps, whatever N is per sequence. Final states are computed step by step where they are asked for.
/// Allocates. Results do not depend on the number of threads; their last bits may depend on where the FFT's
/// memory lies.
struct S4dConvolution {
  /// As S4dRecurrence::forward.
  template <class T>
  static void forward(const S4dInputs<T>& in, MatrixView<T> y, MatrixView<T> final_state, Workspace&) {
    const detail::S4dSequences of_call(in.sequences, in.u.rows);
    detail::check_s4d<T, Cpu>(in, of_call.sequences, y);
    detail::require_s4d_view("final states", final_state, of_call.sequences.count(),
                             2 * in.log_A_real.rows * in.log_A_real.cols);
    parallel_for(in.log_A_real.rows, [&](std::size_t channel) {
      detail::S4dChannelConvolution<T>(in, of_call.sequences, channel).forward(y, final_state);
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
      detail::S4dChannelConvolution<T>(in, of_call.sequences, channel).backward(d_y, gradients);
    });
  }
};

static_assert(S4dEvaluation<S4dConvolution>);

}  // namespace sdlora
