#pragma once

#include "../../adapters/place.hpp"
#include "../../scan/selective/arguments.hpp"

namespace sdlora {

/// Which gradients the backward pass of a Mamba block has to form under the placement P, given
/// whether that of the block's input is wanted. Everything that a block keeps and computes for
/// backward follows from this.
template <Placement P>
struct MambaNeeds {
  template <class S>
  static constexpr bool learns = P::template learns_at<S>;

  bool norm_input;  ///< what the norm passes to in_proj
  bool x;           ///< in_proj's x, the convolution's input
  bool u;           ///< the convolution's output
  bool dt_low;      ///< x_proj's dt
  bool dt;          ///< dt_proj's output
  bool to_B, to_C;  ///< x_proj's B and C
  bool z;           ///< in_proj's z, the gate
  bool scan;        ///< anything through the scan: else its backward does not run at all

  constexpr explicit MambaNeeds(bool input)
      : norm_input(input || learns<site::Norm>),
        x(norm_input || learns<site::InProjX> || learns<site::Prefix>),
        u(x || learns<site::Conv1d> || learns<site::ConvBias>),
        dt_low(u || learns<site::XProjDt>),
        dt(dt_low || learns<site::DtProj>),
        to_B(u || learns<site::XProjB>),
        to_C(u || learns<site::XProjC>),
        z(norm_input || learns<site::InProjZ>),
        scan(dt || to_B || to_C || z || learns<site::ALog> || learns<site::D> || learns<site::DtBias> ||
             learns<site::H0> || learns<site::Prefix>) {}

  /// Whether in_proj's input is read again: for its own weights or for the norm's gradient.
  constexpr bool in_proj_input() const {
    return norm_input || learns<site::InProjX> || learns<site::InProjZ>;
  }

  static constexpr AGradient a_gradient =
      !learns<site::ALog> ? AGradient::None
      : detail::selected_channels<typename P::template policy_at<site::ALog>> != 0
          ? AGradient::SelectedChannels
          : AGradient::All;
  static constexpr bool initial_state = learns<site::H0> || learns<site::Prefix>;

  /// The same as the fused scan takes it; a scan without a gate has no gradient of it.
  constexpr SelectiveScanGradients scan_gradients(bool gate) const {
    return {.u = u,
            .dt = dt,
            .B = to_B,
            .C = to_C,
            .z = gate && z,
            .A = a_gradient,
            .D = learns<site::D>,
            .dt_bias = learns<site::DtBias>,
            .initial_state = initial_state};
  }
};

}  // namespace sdlora
