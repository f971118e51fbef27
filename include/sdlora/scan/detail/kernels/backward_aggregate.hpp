#pragma once

#include "../../../tensor/extents.hpp"
#include "arguments.hpp"
#include "arithmetic.hpp"

#include <cstddef>

namespace sdlora::detail {

/// What each segment asks of the state before it when nothing is asked after it: the reverse
/// counterpart of ForwardKernel's `Aggregate`. Needs no states.
template <class IO, int States, int Lanes, bool Gate>
struct BackwardAggregateKernel {
  static constexpr int threads = 128;
  static constexpr int channels = threads / Lanes;
  static constexpr int padded_states = States * Lanes;
  static constexpr int width = States < 4 ? States : 4;
  static constexpr int tile_steps = padded_states >= 64        ? 4
                                    : 256 / padded_states < 16 ? 256 / padded_states
                                                               : 16;
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
    const int part = thread % Lanes;
    const int own_channel = segment.group * channels + thread / Lanes;
    const bool active = own_channel < in.channels;
    const auto column = static_cast<std::size_t>(active ? own_channel : in.channels - 1);
    const int first_state = part * States;

    float carry[States];
    float a2[States];
    unroll<States>([&](auto j) {
      const int n = first_state + j;
      carry[j] = 0.0F;
      a2[j] = n < in.states
                  ? in.A[column * static_cast<std::size_t>(in.states) + static_cast<std::size_t>(n)] * log2_e
                  : 0.0F;
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
        x.carries[(segment.slot * in.states + n) * in.channels + own_channel] = carry[j];
    });
    if (active && part == 0) x.delta_sums[segment.slot * in.channels + own_channel] = delta_sum;
  }
};

}  // namespace sdlora::detail
