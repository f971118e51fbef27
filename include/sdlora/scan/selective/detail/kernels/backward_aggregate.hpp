#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../detail/kernel_arithmetic.hpp"
#include "arguments.hpp"
#include "channel_layout.hpp"

#include <cstddef>

namespace sdlora::detail {

/// What each segment asks of the state before it when nothing is asked after it: the reverse
/// counterpart of ForwardKernel's `Aggregate`. Needs no states.
template <class IO, int States, int Lanes, bool Gate>
struct BackwardAggregateKernel {
  using Layout = ChannelLayout<States, Lanes>;
  static constexpr int threads = Layout::threads;
  static constexpr int channels = Layout::channels;
  static constexpr int padded_states = Layout::padded_states;
  static constexpr int width = Layout::width;
  static constexpr int tile_steps = Layout::tile_steps;
  static constexpr int tile_values = tile_steps * padded_states;
  static constexpr std::size_t shared_floats = 2 * tile_values;
  static constexpr int resident_blocks = 4;

  using Arguments = AggregateArguments<IO>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const KernelInputs<IO>& in = x.in;
    const int groups = ceil_div(in.channels, channels);
    const SegmentOfBlock segment(in, block.index(), groups);
    const int thread = block.thread();
    const typename Layout::Place place(thread, segment, in.channels);
    const int first_state = place.first_state;
    const bool active = place.active;
    const auto column = static_cast<std::size_t>(place.channel);

    float carry[States];
    float a2[States];
    unroll<States>([&](auto j) {
      const int n = first_state + j;
      carry[j] = 0.0F;
      a2[j] = n < in.states ? in.A[place.channel * in.a_stride + n] * log2_e : 0.0F;
    });
    const float bias = in.dt_bias != nullptr ? in.dt_bias[column] : 0.0F;
    float delta_sum = 0.0F;
    const auto tiles = block.shared();
    int current = 0;

    for (Position tile_end = segment.end; tile_end > segment.begin; tile_end -= tile_steps) {
      const Position left = tile_end - segment.begin;
      const int count = left < tile_steps ? static_cast<int>(left) : tile_steps;
      const auto tile = tiles.from(current * tile_values);
      for (int i = thread; i < tile_values; i += threads) {
        const int n = i % padded_states;
        const int t = i / padded_states;
        const bool inside = t < count && n < in.states;
        const auto row = static_cast<std::size_t>(tile_end - 1 - t);
        tile.store(i, inside ? static_cast<float>(in.C.data[row * in.C.stride + static_cast<std::size_t>(n)])
                             : 0.0F);
      }
      block.sync();
      for (int t = 0; t < count; ++t) {
        const auto row = static_cast<std::size_t>(tile_end - 1 - t);
        float delta = static_cast<float>(in.dt.data[row * in.dt.stride + column]) + bias;
        delta = kernel_softplus(block, delta);
        float d_y = static_cast<float>(x.d_out.data[row * x.d_out.stride + column]);
        if constexpr (Gate) {
          const float z = static_cast<float>(in.z.data[row * in.z.stride + column]);
          d_y *= z * sigmoid(block, z);
        }
        delta_sum += delta;
        float c[States];
        unroll<States / width>([&](auto v) {
          tile.template load_vector<width>(t * padded_states + first_state + v * width, &c[v * width]);
        });
        unroll<States>([&](auto j) { carry[j] = block.exp2(delta * a2[j]) * (c[j] * d_y + carry[j]); });
      }
      current ^= 1;
    }
    unroll<States>([&](auto j) {
      const int n = first_state + j;
      if (active && n < in.states)
        x.carries[(segment.slot * in.states + n) * in.channels + place.channel] = carry[j];
    });
    if (active && place.part == 0) x.delta_sums[segment.slot * in.channels + place.channel] = delta_sum;
  }
};

}  // namespace sdlora::detail
