#pragma once

#include "../gradients.hpp"

namespace sdlora::detail {

/// What a backward pass, on either device, has to compute in order to give the gradients that are wanted. Of
/// a row: h the state, a its decay, g the gradient of the loss by the state.
struct BackwardWork {
  bool u, delta, z, B, C, A, D, initial_state;

  constexpr explicit BackwardWork(const SelectiveScanGradients& wanted, bool gate = true)
      : u(wanted.u),
        delta(wanted.dt || wanted.dt_bias),
        z(gate && wanted.z),
        B(wanted.B),
        C(wanted.C),
        A(wanted.A != AGradient::None),
        D(wanted.D),
        initial_state(wanted.initial_state) {}

  constexpr BackwardWork without_A() const {
    BackwardWork result = *this;
    result.A = false;
    return result;
  }
  /// The gradient by the state, which runs against time.
  constexpr bool g() const { return u || delta || B || A || initial_state; }
  /// g·a·h, of the state before the row.
  constexpr bool gah() const { return delta || A; }
  /// Σ g·B over the states.
  constexpr bool gB() const { return u || delta; }
  /// Any sum over the states.
  constexpr bool state_sums() const { return z || gB(); }
  /// The states themselves.
  constexpr bool states() const { return z || C || gah(); }
  constexpr bool any() const { return g() || z || C || D; }
};

/// The part of it that running the recurrence again depends on: many a work shares one.
struct RecomputeWork {
  bool decay, ah, z, C;

  constexpr explicit RecomputeWork(const BackwardWork& work)
      : decay(work.g()), ah(work.gah()), z(work.z), C(work.C) {}
  constexpr bool states() const { return ah || z || C; }
};

}  // namespace sdlora::detail
