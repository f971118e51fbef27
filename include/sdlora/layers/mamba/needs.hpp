#pragma once

#include "../../adapters/place.hpp"
#include "../../adapters/scan_inputs.hpp"
#include "../../scan/selective/arguments.hpp"
#include "config.hpp"

namespace sdlora {

/// Which gradients the backward pass of a Mamba block has to form under the placement P, given
/// whether that of the block's input is wanted. Everything that a block keeps and computes for
/// backward follows from this.
template <Placement P>
struct MambaNeeds {
  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  template <class S>
  static constexpr bool reads = learns<S> && P::template policy_at<S>::reads_input;

  bool norm_input;  ///< what the norm passes to in_proj
  bool x;           ///< in_proj's x, the convolution's input
  bool u;           ///< the convolution's output
  bool dt_low;      ///< x_proj's dt
  bool dt;          ///< dt_proj's output
  bool to_B, to_C;  ///< x_proj's B and C
  bool z;           ///< in_proj's z, the gate
  bool scan;        ///< anything through the scan: else its backward does not run at all
  bool offset;      ///< what a policy adds to the scan's output

  constexpr explicit MambaNeeds(bool input)
      : norm_input(input || learns<site::Norm>),
        x(norm_input || learns<site::InProjX> || learns<site::Prefix>),
        u(x || learns<site::Conv1d> || learns<site::ConvBias> || learns<site::Conv0>),
        dt_low(u || learns<site::XProjDt>),
        dt(dt_low || learns<site::DtProj>),
        to_B(u || learns<site::XProjB>),
        to_C(u || learns<site::XProjC>),
        z(norm_input || learns<site::InProjZ>),
        scan(dt || to_B || to_C || z || learns<site::ALog> || learns<site::D> || learns<site::DtBias> ||
             learns<site::H0> || learns<site::Prefix>),
        offset(learns<site::Scan>) {}

  /// Whether the gated output's gradient is wanted.
  constexpr bool gated_output() const { return scan || offset; }

  /// Whether in_proj's backward runs.
  constexpr bool in_proj() const { return norm_input || learns<site::InProjX> || learns<site::InProjZ>; }
  /// Whether in_proj's input is read again: for its own weights or for the norm's gradient.
  constexpr bool in_proj_input() const { return norm_input || reads<site::InProjX> || reads<site::InProjZ>; }

  static constexpr AGradient a_gradient =
      !learns<site::ALog>                                                      ? AGradient::None
      : detail::has_selected_state<typename P::template policy_at<site::ALog>> ? AGradient::SelectedChannels
                                                                               : AGradient::All;
  static constexpr bool initial_state = learns<site::H0> || learns<site::Prefix>;
  static constexpr bool initial_window = learns<site::Conv0> || learns<site::Prefix>;

  /// Which of the scan's inputs the policy at the scan reads in backward.
  static constexpr ScanReads scan_reads = [] {
    if constexpr (learns<site::Scan>) return P::template policy_at<site::Scan>::reads;
    return ScanReads{};
  }();

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

/// Columns of what a fused layer of the sites S keeps of its outputs for backward, under the placement P.
template <Placement P, Site... S>
constexpr std::size_t kept_outputs(const MambaDimensions& m) {
  return (std::size_t{0} + ... +
          (changes_output<typename P::template policy_at<S>::template Linear<float>> ? site_shape<S>(m).rows
                                                                                     : 0));
}

}  // namespace sdlora
