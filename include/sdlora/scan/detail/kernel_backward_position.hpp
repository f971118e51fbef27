#pragma once

#include "kernel_arithmetic.hpp"

namespace sdlora::detail {

/// What the backward walk through the states needs of one (row, channel) position: everything that does not
/// depend on a state.
template <class IO, bool Gate, bool Softplus, bool WantsDz>
struct BackwardPosition {
  float delta;
  float u;
  float d_y;         // ∂loss/∂y, before the gate
  float slope;       // ∂delta/∂dt
  float gate_slope;  // ∂out/∂z·∂loss/∂out·1/y

  /// `light`: only delta and u are needed.
  template <class Block>
  static constexpr BackwardPosition prepare(const Block& block, IO u, IO dt, IO z, IO d_out, float bias,
                                            bool light) {
    BackwardPosition p{static_cast<float>(dt) + bias, static_cast<float>(u), 0.0F, 0.0F, 0.0F};
    if (light) {
      if constexpr (Softplus) p.delta = kernel_softplus(block, p.delta);
      return p;
    }
    p.slope = 1.0F;
    if constexpr (Softplus) {
      const SoftplusWithSlope both = softplus_with_slope(block, p.delta);
      p.delta = both.value;
      p.slope = both.slope;
    }
    p.d_y = static_cast<float>(d_out);
    if constexpr (Gate) {
      const float gate = static_cast<float>(z);
      const float s = sigmoid(block, gate);
      if constexpr (WantsDz) p.gate_slope = p.d_y * s * (1.0F + gate * (1.0F - s));
      p.d_y *= gate * s;
    }
    return p;
  }
};

}  // namespace sdlora::detail
