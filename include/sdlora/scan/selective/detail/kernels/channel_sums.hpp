#pragma once

#include "../../../detail/kernel_arithmetic.hpp"

namespace sdlora::detail {

/// d_B and d_C of one time step as sums over the `Places` neighbouring threads of a warp that hold the same
/// `States` states. The first levels exchange halves of the states, so that each thread ends with fewer of
/// them, the other levels whole values.
template <int States, int Places, bool WantsB, bool WantsC>
struct ChannelSums {
  static constexpr int padded_states = States * (32 / Places);
  static constexpr int channel_levels = log2_of(Places);
  static constexpr int state_levels = log2_of(States) < channel_levels ? log2_of(States) : channel_levels;
  static constexpr int kept_states = States >> state_levels;
  static constexpr bool merges = WantsB && WantsC && kept_states == 1 && channel_levels > state_levels;

  /// Register j of the thread at `place` holds state j XOR this.
  static constexpr int order_of(int place) {
    int order = 0;
    unroll<state_levels>([&](auto l) { order |= ((place >> l) & 1) << (log2_of(States) - 1 - l); });
    return order;
  }

  /// Adds up, and stores the sums of step t in `partials`, (chunk, B or C, padded_states), which begins at
  /// the thread's first state.
  template <class Block, class Shared>
  static constexpr void store(const Block& block, Shared partials, int t, int place, int order,
                              float (&d_b)[States], float (&d_c)[States]) {
    unroll<state_levels>([&](auto l) {
      constexpr int half = States >> (decltype(l)::value + 1);
      unroll<half>([&](auto j) {
        if constexpr (WantsB) d_b[j] += block.shuffle_xor(d_b[j + half], 1 << l);
        if constexpr (WantsC) d_c[j] += block.shuffle_xor(d_c[j + half], 1 << l);
      });
    });
    if constexpr (merges) {
      // One value of each is left: neighbours part them, one goes on with d_B, the other with d_C.
      const bool takes_c = ((place >> state_levels) & 1) != 0;
      float kept = takes_c ? d_c[0] : d_b[0];
      kept += block.shuffle_xor(takes_c ? d_b[0] : d_c[0], 1 << state_levels);
      unroll<channel_levels - state_levels - 1>(
          [&](auto l) { kept += block.shuffle_xor(kept, 1 << (state_levels + 1 + l)); });
      if ((place >> (state_levels + 1)) == 0) {
        partials.from((takes_c ? padded_states : 0) + order).store(t * 2 * padded_states, kept);
      }
    } else {
      unroll<channel_levels - state_levels>([&](auto l) {
        unroll<kept_states>([&](auto j) {
          if constexpr (WantsB) d_b[j] += block.shuffle_xor(d_b[j], 1 << (state_levels + l));
          if constexpr (WantsC) d_c[j] += block.shuffle_xor(d_c[j], 1 << (state_levels + l));
        });
      });
      if ((place >> state_levels) == 0) {
        unroll<kept_states>([&](auto j) {
          const int n = j ^ order;
          if constexpr (WantsB) partials.store(t * 2 * padded_states + n, d_b[j]);
          if constexpr (WantsC) partials.store((t * 2 + 1) * padded_states + n, d_c[j]);
        });
      }
    }
  }
};

}  // namespace sdlora::detail
