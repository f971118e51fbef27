#pragma once

#include "../../../detail/kernel_arithmetic.hpp"

namespace sdlora::detail {

/// How the threads of a warp share its channels, states and time steps in a backward, for `States` pairs of a
/// channel and a state in each thread and 32 / `Lanes` channels in the warp.
///
/// As keepers of states, `lanes` threads share `own` channels, of which each holds `held` states: with two
/// channels half of d_B's and d_C's sums over channels need no exchange. A channel's place among those of the
/// warp is its slot.
///
/// As those that prepare positions (step, channel), each takes `vector` neighbouring channels of a step, so
/// that they are loaded and stored at once. Rows in shared memory are padded where neighbouring threads take
/// different steps, which would meet in one bank.
template <int States, int Lanes>
struct BackwardLayout {
  static constexpr int threads = 128;
  static constexpr int warps = threads / 32;
  static constexpr int chunk = 8;  // time steps
  static constexpr int warp_channels = 32 / Lanes;
  static constexpr int channels = warps * warp_channels;
  static constexpr int padded_states = States * Lanes;

  static constexpr int own = States == 8 && Lanes <= 16 ? 2 : 1;
  static constexpr int held = States / own;
  static constexpr int lanes = Lanes * own;
  static constexpr int places = 32 / lanes;
  static constexpr int sum_parts = Lanes;            // that the sums over a channel's states are left in
  static constexpr int width = held < 4 ? held : 4;  // of vectors of states

  static constexpr int vector = warp_channels >= 16 ? 4 : warp_channels >= 8 ? 2 : 1;
  static constexpr int columns = warp_channels / vector;  // threads side by side on a step
  static constexpr int step_stride = 32 / columns;
  static constexpr int passes = step_stride < chunk ? chunk / step_stride : 1;

  static constexpr int padded(int row) { return row + ((columns - row) % 8 + 8) % 8; }
  static constexpr int prepared_row = padded(warp_channels);  // vectors of four floats
  static constexpr int sums_row = padded(32);

  /// The channel in a slot, among those of the warp.
  static constexpr int channel_of(int slot) { return slot % columns * vector + slot / columns; }
};

/// What the registers of one thread hold: register k a state of the channel in slot k / held of its own, and
/// there state k % held of its part, each in the thread's order.
template <class Layout>
struct BackwardPlace {
  int part, rank;  // which part of the states; which of the threads that hold the same part
  int swapped;     // its channels are in the order o XOR this
  int order;       // its states in the order j XOR this
  int first_state, warp_first;

  /// Of the thread in `lane` of a warp whose first channel is `first_channel`, with the order of its rank.
  template <class Order>
  constexpr BackwardPlace(int lane, int first_channel, const Order& order_of)
      : part(lane / Layout::places),
        rank(lane % Layout::places),
        swapped(part % Layout::own),
        order(order_of(rank)),
        first_state(part * Layout::held),
        warp_first(first_channel) {}

  constexpr int slot_of(int o) const { return rank + (o ^ swapped) * Layout::places; }
  constexpr int channel_of(int o) const { return warp_first + Layout::channel_of(slot_of(o)); }
  constexpr int state_of(int j) const { return first_state + (j ^ order); }
  /// The order of whole vectors of states.
  constexpr int vector_order() const { return order & ~(Layout::width - 1); }
};

}  // namespace sdlora::detail
