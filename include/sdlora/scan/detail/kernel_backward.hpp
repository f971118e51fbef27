#pragma once

#include "kernel_arguments.hpp"
#include "kernel_arithmetic.hpp"
#include "kernel_backward_position.hpp"
#include "kernel_backward_tile.hpp"
#include "kernel_backward_walk.hpp"
#include "kernel_channel_sums.hpp"

#include <cstddef>

namespace sdlora::detail {

/// The gradients that a backward may be asked for, as bits of its `Mask`.
struct GradientBit {
  static constexpr unsigned u = 1, dt = 2, z = 4, B = 8, C = 16, A = 32, D = 64, dt_bias = 128, initial = 256;
  /// In the place of `A`: that of listed channels only.
  static constexpr unsigned A_selected = 512;
};

/// Backward over the segments of all sequences, `chunk` time steps at a time, last chunk first.
///
/// `Lanes` neighbouring threads share a channel, each holds `States` states. A warp first prepares
/// its channels × steps (loads, softplus, gate) spread over its threads, then recomputes the states
/// of the chunk into registers and walks back. States between checkpoints and chunks are found by a
/// forward pass that begins at the checkpoint (`BackwardWalk`). Steps past the end and channels
/// past the last one carry zeros, which change nothing.
///
/// dB and dC are sums over channels. A thread keeps its states in an order of its own, state j XOR a
/// number made from its channel, so that halving exchanges between threads need no selection: what a
/// thread sends lies in the upper half of its registers, what it keeps in the lower. Tiles of B and C
/// lie in shared memory once for each order within a vector.
template <class IO, int States, int Lanes, bool Gate, bool Softplus, unsigned Mask>
struct BackwardKernel {
  static constexpr bool wants(unsigned bits) { return (Mask & bits) != 0; }
  static constexpr bool wants_BC = wants(GradientBit::B | GradientBit::C);
  static constexpr bool wants_dz = Gate && wants(GradientBit::z);
  static constexpr bool wants_delta = wants(GradientBit::dt | GradientBit::dt_bias);
  static constexpr bool wants_product = wants(GradientBit::u) || wants_delta;  // Σ g·B
  static constexpr bool wants_A = wants(GradientBit::A | GradientBit::A_selected);
  static constexpr bool wants_decay = wants_A || wants_delta;  // g·a·h
  static_assert(
      !(wants(GradientBit::A) && wants(GradientBit::A_selected)),
      "sdlora: a backward gives the gradient of A for all channels or for listed ones; ask for one");

  static constexpr int threads = 128;
  static constexpr int warps = threads / 32;
  static constexpr int chunk = 8;
  static constexpr int warp_channels = 32 / Lanes;
  static constexpr int channels = warps * warp_channels;
  static constexpr int padded_states = States * Lanes;
  static constexpr int width = States < 4 ? States : 4;
  using OverChannels = ChannelSums<States, Lanes, wants(GradientBit::B), wants(GradientBit::C)>;
  static constexpr int channel_levels = OverChannels::channel_levels;
  static constexpr int state_levels = OverChannels::state_levels;
  // Levels that exchange within a vector need copies of the tile in the exchanged orders.
  static constexpr int vector_levels = log2_of(States) - log2_of(width);
  static constexpr int copy_levels = state_levels > vector_levels ? state_levels - vector_levels : 0;
  static constexpr int copies = 1 << copy_levels;
  static constexpr int copy_step = width >> copy_levels;

  static constexpr int warp_positions = warp_channels * chunk;
  static constexpr int positions = (warp_positions + 31) / 32;  // of one thread

  using Tile = BackwardKernelTile<IO, threads, chunk, padded_states>;
  static constexpr int tile_values = Tile::values;
  static constexpr int tile_floats = tile_values * copies;
  static constexpr int partial_floats = wants_BC ? warps * tile_values : 0;
  static constexpr int prepared_floats = warps * warp_positions * 4;
  static constexpr int sum_floats = warps * warp_positions * 3;
  static constexpr int tiles_at = 0;
  static constexpr int prepared_at = tiles_at + 2 * tile_floats;
  static constexpr int sums_at = prepared_at + prepared_floats;
  static constexpr int partials_at = sums_at + sum_floats;
  static constexpr int starts_at = partials_at + 2 * partial_floats;
  static constexpr int resident_blocks = 3;

  using Arguments = BackwardArguments<IO>;

  static constexpr std::size_t shared_floats_for(int checkpoint_interval) {
    return static_cast<std::size_t>(starts_at) +
           static_cast<std::size_t>(checkpoint_interval / chunk - 1) * States * threads;
  }

  using Walk = BackwardWalk<chunk>;
  using Item = typename Walk::Item;

  struct Raw {
    IO u[positions], dt[positions], z[positions], d_out[positions];
  };

  static constexpr const IO* at(const MatrixView<const IO>& matrix, Position row, int column) {
    return matrix.data + static_cast<std::size_t>(row) * matrix.stride + static_cast<std::size_t>(column);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const KernelInputs<IO>& in = x.in;
    const int groups = (in.channels + channels - 1) / channels;
    const SegmentOfBlock segment(in, block.index(), groups);
    const int interval = in.checkpoint_interval;
    const int thread = block.thread();
    const int warp = thread / 32;
    const int lane = thread % 32;
    const int warp_first = segment.group * channels + warp * warp_channels;

    // The thread as keeper of states.
    const int part = lane % Lanes;
    const int place = lane / Lanes;  // channel within the warp
    const int channel = warp_first + place;
    const bool active = channel < in.channels;
    const int order = OverChannels::order_of(place);
    const int copy = copies == 1 ? 0 : (order & (width - 1)) / copy_step;
    const int vector_order = order & ~(width - 1);
    const int first_state = part * States;
    // The thread as one that prepares channel × step positions.
    const int prepared_place = lane % warp_channels;
    const int prepared_channel = warp_first + prepared_place;
    const bool prepares = prepared_channel < in.channels;
    const int first_step = lane / warp_channels;
    constexpr int step_stride = 32 / warp_channels;

    const auto shared = block.shared();
    const auto prepared = shared.from(prepared_at + warp * warp_positions * 4);
    const auto sums = shared.from(sums_at + warp * warp_positions * 3);
    const auto starts = shared.from(starts_at + thread);

    float a2[States];
    float carry[States];  // a·g of the step after: what the future asks of the state
    float d_a[States];
    unroll<States>([&](auto j) {
      const int n = first_state + (j ^ order);
      const bool inside = active && n < in.states;
      a2[j] = inside ? in.A[static_cast<Position>(channel) * in.states + n] * log2_e : 0.0F;
      carry[j] = 0.0F;
      d_a[j] = 0.0F;
      if (inside && x.incoming != nullptr) {
        carry[j] = x.incoming[(segment.slot * in.states + n) * in.channels + channel];
      } else if (inside && segment.last && x.d_final != nullptr) {
        carry[j] = x.d_final[(segment.sequence * in.channels + channel) * in.states + n];
      }
    });
    const float bias = prepares && in.dt_bias != nullptr ? in.dt_bias[prepared_channel] : 0.0F;
    const float skip = prepares && in.D != nullptr ? in.D[prepared_channel] : 0.0F;
    float d_skip = 0.0F;
    float d_bias = 0.0F;

    const CheckpointLayout layout(in.channels, in.states);
    const Position checkpoint_row = CheckpointLayout::first_row(segment.first, segment.sequence, interval);
    const int interval_bits = log2_of(interval);
    auto load_state = [&](Position base, float(&h)[States]) {
      const Position local = base - segment.first;
      unroll<States>([&](auto j) { h[j] = 0.0F; });
      if (!active) return;
      if (local > 0) {
        const float* const row =
            x.checkpoints + layout.template at<width>(checkpoint_row + (local >> interval_bits), 0, channel);
        const Position group_step = Position{in.channels} * width;
        unroll<States / width>([&](auto v) {
          const int first = first_state + ((v * width) ^ vector_order);
          if (first < in.states) {
            float values[width];
            block.template load_vector<width>(row + first / width * group_step, values);
            reorder_by_xor(values, order);
            unroll<width>([&](auto j) { h[v * width + j] = values[j]; });
          }
        });
      } else if (in.initial != nullptr) {
        const float* const initial = in.initial + (segment.sequence * in.channels + channel) * in.states;
        unroll<States>([&](auto j) {
          const int n = first_state + (j ^ order);
          if (n < in.states) h[j] = initial[n];
        });
      }
    };

    // Steps of the chunk that exist, none for a thread without a channel.
    auto steps_of = [&](Position row0) {
      const Position left = segment.end - row0;
      return left < chunk ? static_cast<int>(left) : chunk;
    };
    auto load_raw = [&](const Item& item, Raw& raw) {
      const Position row0 = item.base + item.sub * chunk;
      const int count = prepares ? steps_of(row0) : 0;
      const IO* u = at(in.u, row0 + first_step, prepared_channel);
      const IO* dt = at(in.dt, row0 + first_step, prepared_channel);
      const IO* d_out = at(x.d_out, row0 + first_step, prepared_channel);
      const IO* z = nullptr;
      if constexpr (Gate) z = at(in.z, row0 + first_step, prepared_channel);
      unroll<positions>([&](auto i) {
        raw.u[i] = raw.dt[i] = raw.z[i] = raw.d_out[i] = IO(0.0F);
        if (first_step + i * step_stride < count) {
          raw.u[i] = *u;
          raw.dt[i] = *dt;
          raw.d_out[i] = *d_out;
          if constexpr (Gate) raw.z[i] = *z;
        }
        u += step_stride * in.u.stride;
        dt += step_stride * in.dt.stride;
        d_out += step_stride * x.d_out.stride;
        if constexpr (Gate) z += step_stride * in.z.stride;
      });
    };
    auto load_tile = [&](const Item& item, typename Tile::Staged& staged) {
      const Position row0 = item.base + item.sub * chunk;
      Tile::load(thread, in, row0, steps_of(row0), staged);
    };
    auto add_up_partials = [&](int buffer, Position row0) {
      if constexpr (wants_BC) {
        Tile::template add_up<warps, wants(GradientBit::B), wants(GradientBit::C)>(
            thread, shared.from(partials_at + buffer * partial_floats), steps_of(row0),
            segment.group * in.rows + row0, in.states, x.d_B_partials, x.d_C_partials);
      }
    };

    Item item{segment.begin, 0, false, segment.begin < segment.end};
    Raw raw{};
    typename Tile::Staged staged{};
    if (item.valid) {
      const Position ranges = (segment.end - segment.begin + interval - 1) / interval;
      item = Walk::first_item(segment.begin + (ranges - 1) * interval, segment.end, interval);
      load_raw(item, raw);
      load_tile(item, staged);
    }
    float h[States];
    unroll<States>([&](auto j) { h[j] = 0.0F; });
    bool has_partials = false;
    Position partials_row = 0;
    int buffer = 0;

    while (item.valid) {
      Tile::template store<copies, copy_step>(thread, shared.from(tiles_at + buffer * tile_floats), staged);
      float slope[positions];
      float gate_slope[positions];  // ∂out/∂z·1/y
      const Position row0 = item.base + item.sub * chunk;
      const int count = prepares ? steps_of(row0) : 0;
      unroll<positions>([&](auto i) {
        const int step = first_step + i * step_stride;
        slope[i] = 0.0F;
        gate_slope[i] = 0.0F;
        if (step < chunk) {
          const auto p = BackwardPosition<IO, Gate, Softplus, wants_dz>::prepare(
              block, raw.u[i], raw.dt[i], raw.z[i], raw.d_out[i], bias, item.light);
          slope[i] = p.slope;
          gate_slope[i] = p.gate_slope;
          const float delta = step < count ? p.delta : 0.0F;
          const float row[4] = {delta, delta * p.u, p.d_y, p.u};
          prepared.template store_vector<4>((step * warp_channels + prepared_place) * 4, row);
        }
      });
      block.sync();

      const Item next = Walk::next_item(item, segment.begin, segment.end, interval);
      // Loads run ahead from where half of the states that are walked back through are done with: their
      // registers are free then.
      const auto load_next = [&] {
        if (next.valid) {
          load_raw(next, raw);
          load_tile(next, staged);
        }
      };
      if (has_partials) add_up_partials(buffer ^ 1, partials_row);
      const auto tile = shared.from(tiles_at + buffer * tile_floats + copy * padded_states + first_state);
      auto load_row = [&](int t, int which, float(&values)[States]) {
        unroll<States / width>([&](auto v) {
          tile.template load_vector<width>(
              (t * 2 + which) * copies * padded_states + ((v * width) ^ vector_order), &values[v * width]);
        });
      };

      // The state at the beginning of the chunk; the last chunk of a range follows a light one.
      if (item.sub == 0) {
        load_state(item.base, h);
      } else if (!item.light && item.sub + 1 < Walk::chunks_at(item.base, segment.end, interval)) {
        unroll<States>([&](auto j) { h[j] = starts.load(((item.sub - 1) * States + j) * threads); });
      }

      if (item.light) {
        load_next();
        for (int t = 0; t < chunk; ++t) {
          float p[2];
          prepared.template load_vector<2>((t * warp_channels + place) * 4, p);
          float b[States];
          load_row(t, 0, b);
          unroll<States>([&](auto j) { h[j] = block.exp2(p[0] * a2[j]) * h[j] + p[1] * b[j]; });
        }
        unroll<States>([&](auto j) { starts.store((item.sub * States + j) * threads, h[j]); });
        block.sync_warp();
        has_partials = false;
      } else {
        float before[chunk][States];
        unroll<chunk>([&](auto t) {
          float p[2];
          prepared.template load_vector<2>((t * warp_channels + place) * 4, p);
          float b[States];
          load_row(t, 0, b);
          unroll<States>([&](auto j) {
            before[t][j] = h[j];
            h[j] = block.exp2(p[0] * a2[j]) * h[j] + p[1] * b[j];
          });
        });

        const auto partials = shared.from(partials_at + buffer * partial_floats + warp * tile_values);
        unroll<chunk>([&](auto reversed) {
          constexpr int t = chunk - 1 - decltype(reversed)::value;
          if constexpr (t == chunk / 2 - 1) load_next();
          float p[4];  // delta, delta·u, dy, u
          prepared.template load_vector<4>((t * warp_channels + place) * 4, p);
          float b[States];
          float c[States];
          [[maybe_unused]] float d_b[States];
          [[maybe_unused]] float d_c[States];
          load_row(t, 0, b);
          load_row(t, 1, c);
          [[maybe_unused]] float y = 0.0F;
          [[maybe_unused]] float product = 0.0F;
          [[maybe_unused]] float decay = 0.0F;
          unroll<States>([&](auto j) {
            float after = 0.0F;
            if constexpr (t + 1 < chunk) {
              after = before[t + 1][j];
            } else {
              after = h[j];
            }
            if constexpr (wants_dz) y += c[j] * after;
            if constexpr (wants(GradientBit::C)) d_c[j] = p[2] * after;
            const float g = c[j] * p[2] + carry[j];
            if constexpr (wants(GradientBit::B)) d_b[j] = p[1] * g;
            if constexpr (wants_product) product += g * b[j];
            carry[j] = block.exp2(p[0] * a2[j]) * g;
            if constexpr (wants_decay) {
              const float q = carry[j] * before[t][j];
              if constexpr (wants_A) d_a[j] += p[0] * q;
              if constexpr (wants_delta) decay += a2[j] * q;
            }
          });
          unroll<log2_of(Lanes)>([&](auto l) {
            if constexpr (wants_dz) y += block.shuffle_xor(y, 1 << l);
            if constexpr (wants_product) product += block.shuffle_xor(product, 1 << l);
            if constexpr (wants_delta) decay += block.shuffle_xor(decay, 1 << l);
          });
          // First, so that the products are fused with the first sums.
          if constexpr (wants_BC) OverChannels::store(block, partials, t, part, place, order, d_b, d_c);
          if (part == 0) {
            [[maybe_unused]] const int at_position = t * warp_channels + place;
            if constexpr (wants_dz) sums.store(at_position, y);
            if constexpr (wants_product) sums.store(warp_positions + at_position, product);
            if constexpr (wants_delta) sums.store(2 * warp_positions + at_position, decay * ln_2);
          }
        });
        block.sync_warp();

        const auto place_in = [&](const MatrixView<IO>& matrix) {
          return matrix.data + static_cast<std::size_t>(row0 + first_step) * matrix.stride +
                 static_cast<std::size_t>(prepared_channel);
        };
        [[maybe_unused]] IO* d_u = nullptr;
        [[maybe_unused]] IO* d_dt = nullptr;
        [[maybe_unused]] IO* d_z = nullptr;
        if constexpr (wants(GradientBit::u)) d_u = place_in(x.d_u);
        if constexpr (wants(GradientBit::dt)) d_dt = place_in(x.d_dt);
        if constexpr (wants_dz) d_z = place_in(x.d_z);
        unroll<positions>([&](auto i) {
          const int step = first_step + i * step_stride;
          if (step < count) {
            [[maybe_unused]] const int at_position = step * warp_channels + prepared_place;
            float p[4];
            prepared.template load_vector<4>(at_position * 4, p);
            [[maybe_unused]] const float product =
                wants_product ? sums.load(warp_positions + at_position) : 0.0F;
            if constexpr (wants(GradientBit::u))
              *d_u = block.template narrow<IO>(p[0] * product + skip * p[2]);
            if constexpr (wants_delta) {
              const float slope_times =
                  (p[3] * product + sums.load(2 * warp_positions + at_position)) * slope[i];
              d_bias += slope_times;
              if constexpr (wants(GradientBit::dt)) *d_dt = block.template narrow<IO>(slope_times);
            }
            if constexpr (wants_dz) {
              *d_z = block.template narrow<IO>(gate_slope[i] * (sums.load(at_position) + skip * p[3]));
            }
            if constexpr (wants(GradientBit::D)) d_skip += p[2] * p[3];
          }
          if constexpr (wants(GradientBit::u)) d_u += step_stride * x.d_u.stride;
          if constexpr (wants(GradientBit::dt)) d_dt += step_stride * x.d_dt.stride;
          if constexpr (wants_dz) d_z += step_stride * x.d_z.stride;
        });
        block.sync_warp();
        has_partials = true;
        partials_row = row0;
      }
      buffer ^= 1;
      item = next;
    }
    if constexpr (wants_BC) {
      block.sync();
      if (has_partials) add_up_partials(buffer ^ 1, partials_row);
    }

    [[maybe_unused]] int a_column = channel;
    [[maybe_unused]] bool keeps_a = active;
    if constexpr (wants(GradientBit::A_selected)) {
      a_column = place_among(x.selected, x.a_columns, channel);
      keeps_a = active && a_column < x.a_columns && x.selected[a_column] == channel;
    }
    unroll<States>([&](auto j) {
      const int n = first_state + (j ^ order);
      if (active && n < in.states) {
        if constexpr (wants_A) {
          if (keeps_a) x.d_A_partials[(segment.slot * in.states + n) * x.a_columns + a_column] = d_a[j];
        }
        if constexpr (wants(GradientBit::initial)) {
          if (segment.head) {
            x.d_initial[(segment.sequence * in.channels + channel) * in.states + n] = carry[j];
          }
        }
      }
    });
    if constexpr (wants(GradientBit::D | GradientBit::dt_bias)) {
      unroll<5 - channel_levels>([&](auto l) {
        d_skip += block.shuffle_xor(d_skip, warp_channels << l);
        d_bias += block.shuffle_xor(d_bias, warp_channels << l);
      });
      if (lane < warp_channels && prepares) {
        const Position to = segment.slot * in.channels + prepared_channel;
        if constexpr (wants(GradientBit::D)) x.d_D_partials[to] = d_skip;
        if constexpr (wants(GradientBit::dt_bias)) x.d_bias_partials[to] = d_bias;
      }
    }
  }
};

}  // namespace sdlora::detail
