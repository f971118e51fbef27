#pragma once

#include "arguments.hpp"

namespace sdlora::detail {

/// How the threads of a block share its channels and states where each walks through time by itself:
/// `Lanes` neighbours share a channel, each holds `States` neighbouring states of it.
template <int States, int Lanes>
struct ChannelLayout {
  static constexpr int threads = 128;
  static constexpr int channels = threads / Lanes;
  static constexpr int padded_states = States * Lanes;
  static constexpr int width = States < 4 ? States : 4;  // neighbouring states that are moved at once
  static constexpr int tile_steps =                      // time steps of B and C in shared memory
      padded_states >= 64 ? 4 : (256 / padded_states < 16 ? 256 / padded_states : 16);

  /// What a thread of the block has.
  struct Place {
    constexpr Place(int thread, const SegmentOfBlock& segment, int channel_count)
        : part(thread % Lanes),
          first_state(part * States),
          channel(segment.group * channels + thread / Lanes),
          active(channel < channel_count) {
      if (!active) channel = channel_count - 1;  // idle threads follow the last one
    }

    int part;  // of the channel's states
    int first_state;
    int channel;
    bool active;
  };
};

}  // namespace sdlora::detail
