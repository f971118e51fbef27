#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../detail/kernel_arithmetic.hpp"
#include "arguments.hpp"
#include "channel_layout.hpp"
#include "tile.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora::detail {

/// Forward over the segments of all sequences: `Lanes` neighbouring threads share a channel, each
/// holds `States` states in registers; B and C pass through shared memory in tiles. With `Aggregate`
/// it only finds what its segment does to a state that enters as zero.
template <class IO, int States, int Lanes, bool Gate, bool Aggregate = false>
struct ForwardKernel {
  using Layout = ChannelLayout<States, Lanes>;
  static constexpr int threads = Layout::threads;
  static constexpr int channels = Layout::channels;
  static constexpr int padded_states = Layout::padded_states;
  static constexpr int width = Layout::width;
  static constexpr int tile_steps = Layout::tile_steps;
  static constexpr int ring = 4;  // time steps that are loaded ahead
  using Tile = KernelTile<IO, threads, tile_steps, padded_states>;
  static constexpr int tile_values = Tile::values;
  static constexpr std::size_t shared_floats = 2 * tile_values;
  static constexpr int resident_blocks = States >= 16 ? 5 : States >= 8 ? 6 : 8;

  using Arguments = std::conditional_t<Aggregate, AggregateArguments<IO>, ForwardArguments<IO>>;

  struct Step {
    IO u, dt, z;
  };

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const KernelInputs<IO>& in = x.in;
    const int groups = ceil_div(in.channels, channels);
    const SegmentOfBlock segment(in, block.index(), groups);
    const typename Layout::Place place(block.thread(), segment, in.channels);
    const int channel = place.channel, first_state = place.first_state;
    const bool active = place.active;
    const auto column = static_cast<std::size_t>(channel);

    float h[States];
    float a2[States];  // A·log2(e)
    unroll<States>([&](auto j) {
      const int n = first_state + j;
      const bool inside = n < in.states;
      a2[j] = inside ? in.A[channel * in.a_stride + n] * log2_e : 0.0F;
      h[j] = 0.0F;
      if constexpr (!Aggregate) {
        if (inside && x.starts != nullptr) {
          h[j] = x.starts[(segment.slot * in.states + n) * in.channels + channel];
        } else if (inside && in.initial_state != nullptr) {
          h[j] = in.initial_state[segment.sequence * in.initial_stride + Position{channel} * in.states + n];
        }
      }
    });
    const float bias = in.dt_bias != nullptr ? in.dt_bias[column] : 0.0F;
    const float skip = in.D != nullptr ? in.D[column] : 0.0F;
    float delta_sum = 0.0F;

    // Pointers run ahead of the step that is computed by `ring` steps.
    const IO* u = in.u.data + static_cast<std::size_t>(segment.begin) * in.u.stride + column;
    const IO* dt = in.dt.data + static_cast<std::size_t>(segment.begin) * in.dt.stride + column;
    const IO* z = nullptr;
    if constexpr (Gate && !Aggregate)
      z = in.z.data + static_cast<std::size_t>(segment.begin) * in.z.stride + column;
    IO* out = nullptr;
    if constexpr (!Aggregate)
      out = x.out.data + static_cast<std::size_t>(segment.begin) * x.out.stride + column;

    auto load_step = [&](Step& step) {
      step.u = *u;
      step.dt = *dt;
      u += in.u.stride;
      dt += in.dt.stride;
      if constexpr (Gate && !Aggregate) {
        step.z = *z;
        z += in.z.stride;
      }
    };
    Step steps[ring];
    unroll<ring>([&](auto k) {
      steps[k] = Step{IO(0.0F), IO(0.0F), IO(0.0F)};
      if (segment.begin + k < segment.end) load_step(steps[k]);
    });

    // Where the next checkpoint goes: the state before the sequence's first step is not one.
    const CheckpointLayout layout(in.channels, in.states);
    const Position checkpoint_size = layout.size();
    const Position checkpoint_step = Position{in.channels} * width;
    float* checkpoint = nullptr;
    int steps_to_checkpoint = in.checkpoint_interval;
    if constexpr (!Aggregate) {
      const Position local = segment.begin - segment.first;
      if (local > 0) steps_to_checkpoint = 0;
      checkpoint = x.checkpoints +
                   layout.template at<width>(
                       CheckpointLayout::first_row(segment.first, segment.sequence, in.checkpoint_interval) +
                           (local > 0 ? local / in.checkpoint_interval : 1),
                       first_state, channel);
    }
    const bool writes = active && place.part == 0;

    auto tiles = block.shared();
    int current = 0;
    // Made where it is used: in between, the states need its registers.
    const auto mover = [&] { return Tile(block.thread(), in.states, in.state_vectors); };
    typename Tile::Staged staged{};
    const auto load_tile = [&](Position begin) {
      const Position left = segment.end - begin;
      mover().template load<!Aggregate>(block, in, begin,
                                        left < tile_steps ? static_cast<int>(left) : tile_steps, staged);
    };
    load_tile(segment.begin);
    mover().store(tiles, staged);

    for (Position tile_begin = segment.begin; tile_begin < segment.end; tile_begin += tile_steps) {
      const Position left = segment.end - tile_begin;
      const int ahead = left < tile_steps + ring ? static_cast<int>(left) : tile_steps + ring;
      const int count = ahead < tile_steps ? ahead : tile_steps;
      block.sync();
      const bool more = left > tile_steps;
      if (more) load_tile(tile_begin + tile_steps);
      const auto tile = tiles.from(current * tile_values + first_state);

      const auto run_group = [&](int group, auto checked) {
        unroll<ring>([&](auto k) {
          const int t = group + k;
          if (!decltype(checked)::value || t < count) {
            const Step step = steps[k];
            if (!decltype(checked)::value || t + ring < ahead) load_step(steps[k]);
            const float input = static_cast<float>(step.u);
            const float delta = kernel_softplus(block, static_cast<float>(step.dt) + bias);
            const float drive = delta * input;
            float b[States];
            load_states(tile, t * 2 * padded_states, b);
            if constexpr (Aggregate) {
              delta_sum += delta;
              unroll<States>([&](auto j) { h[j] = block.exp2(delta * a2[j]) * h[j] + drive * b[j]; });
            } else {
              float c[States];
              load_states(tile, (t * 2 + 1) * padded_states, c);
              float sums[2] = {0.0F, 0.0F};  // two chains, so that additions overlap
              unroll<States>([&](auto j) {
                h[j] = block.exp2(delta * a2[j]) * h[j] + drive * b[j];
                sums[j % 2] += c[j] * h[j];
              });
              float y = sums[0] + sums[1];
              unroll<log2_of(Lanes)>([&](auto l) { y += block.shuffle_xor(y, 1 << l); });
              y += skip * input;
              if constexpr (Gate) {
                const float gate = static_cast<float>(step.z);
                y *= gate * sigmoid(block, gate);
              }
              if (writes) *out = block.template narrow<IO>(y);
              out += x.out.stride;
            }
          }
        });
      };
      const auto run_tile = [&](auto checked) {
        for (int group = 0; group < count; group += ring) {
          if constexpr (!Aggregate) {
            if (x.checkpoints != nullptr) {
              if (steps_to_checkpoint == 0) {
                if (active) store_checkpoint(block, checkpoint, checkpoint_step, h, first_state, in.states);
                checkpoint += checkpoint_size;
                steps_to_checkpoint = in.checkpoint_interval;
              }
              steps_to_checkpoint -= ring;
            }
          }
          run_group(group, checked);
        }
      };
      if (ahead == tile_steps + ring) {
        run_tile(Index<0>{});
      } else {
        run_tile(Index<1>{});
      }
      current ^= 1;
      if (more) mover().store(tiles.from(current * tile_values), staged);
    }

    if constexpr (Aggregate) {
      unroll<States>([&](auto j) {
        const int n = first_state + j;
        if (active && n < in.states) x.carries[(segment.slot * in.states + n) * in.channels + channel] = h[j];
      });
      if (active && place.part == 0) x.delta_sums[segment.slot * in.channels + channel] = delta_sum;
    } else if (x.final_state != nullptr && segment.last) {
      unroll<States>([&](auto j) {
        const int n = first_state + j;
        if (active && n < in.states) {
          x.final_state[segment.sequence * x.final_stride + Position{channel} * in.states + n] = h[j];
        }
      });
    }
  }

 private:
  template <class Shared>
  static constexpr void load_states(Shared tile, int at, float (&values)[States]) {
    unroll<States / width>(
        [&](auto v) { tile.template load_vector<width>(at + v * width, &values[v * width]); });
  }

  template <class Block>
  static constexpr void store_checkpoint(const Block& block, float* to, Position step,
                                         const float (&h)[States], int first_state, int states) {
    unroll<States / width>([&](auto v) {
      if (first_state + v * width < states) block.template store_vector<width>(to + v * step, &h[v * width]);
    });
  }
};

}  // namespace sdlora::detail
