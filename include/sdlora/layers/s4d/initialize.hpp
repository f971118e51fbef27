#pragma once

#include "../../tensor/random.hpp"
#include "tensors.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace sdlora {

/// How A begins. The first three are those of Gu et al., arXiv 2206.11893, section 4, for state n of N
/// complex ones, which stand for 2N.
enum class S4dStart {
  Lin,   ///< −1/2 + iπn
  Inv,   ///< −1/2 + i·2N/π·(2N/(2n + 1) − 1)
  Real,  ///< −(n + 1)
  /// log(−Re A) = log U(0, 1], Im A = π times one of {0, …, N − 1}: the experiment of Galim et al., arXiv
  /// 2410.09016.
  Random,
};

/// Initial values of a block: A by `start`; C complex normal, of variance 1; D normal; log_dt uniform between
/// log 1e-3 and log 1e-1; the projection and its bias uniform in ±1/√d. They are functions of (seed, layer).
template <class T>
void initialize_s4d(const S4dWeights<T>& w, S4dStart start, std::uint64_t seed, std::uint64_t layer) {
  const std::size_t H = w.log_A_real.rows, N = w.log_A_real.cols;
  std::uint64_t stream = 16 * layer;
  const auto next = [&] { return RandomStream(seed, stream++); };
  const RandomStream real = next(), imaginary = next(), c = next(), dt = next(), d = next(), weight = next(),
                     bias = next();
  constexpr double pi = std::numbers::pi;
  for (std::size_t h = 0; h < H; ++h) {
    for (std::size_t n = 0; n < N; ++n) {
      const std::size_t i = h * N + n;
      const auto k = static_cast<double>(n), all = static_cast<double>(2 * N);
      double log_real = std::log(0.5), imag = pi * k;
      switch (start) {
        case S4dStart::Lin:
          break;
        case S4dStart::Inv:
          imag = all / pi * (all / (2.0 * k + 1.0) - 1.0);
          break;
        case S4dStart::Real:
          log_real = std::log(k + 1.0);
          imag = 0.0;
          break;
        case S4dStart::Random:
          log_real = std::log(1.0 - real.uniform(i));
          imag = pi * static_cast<double>(imaginary.below(i, N));
          break;
      }
      w.log_A_real(h, n) = static_cast<T>(log_real);
      w.A_imag(h, n) = static_cast<T>(imag);
      w.C(h, 2 * n) = static_cast<T>(std::numbers::sqrt2 / 2.0 * c.normal(2 * i));
      w.C(h, 2 * n + 1) = static_cast<T>(std::numbers::sqrt2 / 2.0 * c.normal(2 * i + 1));
    }
    w.log_dt(0, h) = static_cast<T>(std::log(1e-3) + dt.uniform(h) * std::log(1e2));
    w.D(0, h) = static_cast<T>(d.normal(h));
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(H));
  for (std::size_t i = 0; i < w.out_proj.rows * w.out_proj.cols; ++i) {
    w.out_proj.data[i] = static_cast<T>(bound * (2.0 * weight.uniform(i) - 1.0));
  }
  for (std::size_t i = 0; i < w.out_proj_bias.cols; ++i) {
    w.out_proj_bias.data[i] = static_cast<T>(bound * (2.0 * bias.uniform(i) - 1.0));
  }
}

}  // namespace sdlora
