#pragma once

#include "../arguments.hpp"

#include <cmath>
#include <complex>
#include <cstddef>

namespace sdlora::detail {

/// φ(z) = (e^z − 1)/z and φ'(z): by their series where the quotients would cancel.
struct S4dPhi {
  using Complex = std::complex<double>;
  Complex value, slope;

  S4dPhi(Complex z, Complex exp_z) {
    if (std::abs(z) >= 0.5) {
      value = (exp_z - 1.0) / z;
      slope = (exp_z - value) / z;
      return;
    }
    constexpr int terms = 16;
    double factorial = 1.0;
    Complex power = 1.0;
    for (int k = 0; k < terms; ++k) {
      factorial *= k + 1;
      value += power / factorial;                          // z^k / (k + 1)!
      slope += power * ((k + 1) / (factorial * (k + 2)));  // (k + 1) z^k / (k + 2)!
      power *= z;
    }
  }
};

/// One complex state of a channel under zero-order hold, in double whatever the values are: its powers are
/// what a long sequence multiplies.
struct S4dMode {
  using Complex = std::complex<double>;

  template <class T>
  S4dMode(const S4dInputs<T>& in, std::size_t channel, std::size_t state)
      : dt(std::exp(static_cast<double>(in.log_dt(0, channel)))),
        A(-std::exp(static_cast<double>(in.log_A_real(channel, state))),
          static_cast<double>(in.A_imag(channel, state))),
        a(std::exp(dt * A)),
        phi(dt * A, a),
        b(dt * phi.value),
        c(2.0 * static_cast<double>(in.C(channel, 2 * state)),
          2.0 * static_cast<double>(in.C(channel, 2 * state + 1))) {}

  double dt;
  Complex A;
  Complex a;  // exp(dt·A)
  S4dPhi phi;
  Complex b;  // (exp(dt·A) − 1)/A
  Complex c;  // 2·C, so that y is the real part of the sum alone
};

/// The gradient of a loss by what one state goes by: dL = Re(c·dc + b·db + z·dz), z = dt·A through exp(z)
/// alone.
struct S4dModeGradient {
  std::complex<double> c, b, z;

  /// Adds what follows for one channel's state.
  template <class T>
  void add_to(const S4dGradients<T>& to, const S4dMode& mode, std::size_t channel, std::size_t state) const {
    const std::complex<double> all_z = z + b * mode.dt * mode.phi.slope;  // b = dt·φ(z)
    if (to.C) {
      to.C(channel, 2 * state) += static_cast<T>(2.0 * c.real());
      to.C(channel, 2 * state + 1) -= static_cast<T>(2.0 * c.imag());
    }
    if (to.log_A_real)
      to.log_A_real(channel, state) += static_cast<T>(all_z.real() * mode.dt * mode.A.real());
    if (to.A_imag) to.A_imag(channel, state) -= static_cast<T>(all_z.imag() * mode.dt);
    if (to.log_dt) {
      to.log_dt(0, channel) += static_cast<T>(mode.dt * (all_z * mode.A + b * mode.phi.value).real());
    }
  }
};

}  // namespace sdlora::detail
