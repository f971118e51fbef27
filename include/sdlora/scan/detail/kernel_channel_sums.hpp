#pragma once

#include "kernel_arithmetic.hpp"

namespace sdlora::detail {

/// dB and dC of one time step as sums over the channels of a warp, of which `Lanes` neighbouring
/// threads share one and each holds `States` states. The first levels exchange halves of the states,
/// so that each thread ends with fewer of them, the other levels whole values.
template <int States, int Lanes, bool WantsB, bool WantsC>
struct ChannelSums {
  static constexpr int warp_channels = 32 / Lanes;
  static constexpr int padded_states = States * Lanes;
  static constexpr int channel_levels = log2_of(warp_channels);
  static constexpr int state_levels = log2_of(States) < channel_levels ? log2_of(States) : channel_levels;
  static constexpr int kept_states = States >> state_levels;
  static constexpr bool merges = WantsB && WantsC && kept_states == 1 && channel_levels > state_levels;

  /// Register j of the thread of the warp's channel `place` holds state j XOR this.
  static constexpr int order_of(int place) {
    int order = 0;
    unroll<state_levels>([&](auto l) { order |= ((place >> l) & 1) << (log2_of(States) - 1 - l); });
    return order;
  }

  /// Adds up, and stores the sums of step t in `partials`, (chunk, B or C, padded_states).
  template <class Block, class Shared>
  static constexpr void store(const Block& block, Shared partials, int t, int part, int place, int order,
                              float (&d_b)[States], float (&d_c)[States]) {
    unroll<state_levels>([&](auto l) {
      constexpr int half = States >> (decltype(l)::value + 1);
      unroll<half>([&](auto j) {
        if constexpr (WantsB) d_b[j] += block.shuffle_xor(d_b[j + half], Lanes << l);
        if constexpr (WantsC) d_c[j] += block.shuffle_xor(d_c[j + half], Lanes << l);
      });
    });
    const int first_state = part * States;
    if constexpr (merges) {
      // One value of each is left: neighbours part them, one goes on with dB, the other with dC.
      const bool takes_c = ((place >> state_levels) & 1) != 0;
      float kept = takes_c ? d_c[0] : d_b[0];
      kept += block.shuffle_xor(takes_c ? d_b[0] : d_c[0], Lanes << state_levels);
      unroll<channel_levels - state_levels - 1>(
          [&](auto l) { kept += block.shuffle_xor(kept, Lanes << (state_levels + 1 + l)); });
      if ((place >> (state_levels + 1)) == 0) {
        partials.store((t * 2 + (takes_c ? 1 : 0)) * padded_states + first_state + order, kept);
      }
    } else {
      unroll<channel_levels - state_levels>([&](auto l) {
        unroll<kept_states>([&](auto j) {
          if constexpr (WantsB) d_b[j] += block.shuffle_xor(d_b[j], Lanes << (state_levels + l));
          if constexpr (WantsC) d_c[j] += block.shuffle_xor(d_c[j], Lanes << (state_levels + l));
        });
      });
      if ((place >> state_levels) == 0) {
        unroll<kept_states>([&](auto j) {
          const int n = first_state + (j ^ order);
          if constexpr (WantsB) partials.store(t * 2 * padded_states + n, d_b[j]);
          if constexpr (WantsC) partials.store((t * 2 + 1) * padded_states + n, d_c[j]);
        });
      }
    }
  }
};

}  // namespace sdlora::detail
