#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../detail/kernel_arithmetic.hpp"
#include "../backward_work.hpp"
#include "arguments.hpp"
#include "backward_layout.hpp"
#include "backward_positions.hpp"
#include "backward_walk.hpp"
#include "channel_sums.hpp"
#include "tile.hpp"

#include <cstddef>

namespace sdlora::detail {

/// Backward over the segments of all sequences, `chunk` time steps at a time, last chunk first.
///
/// Each thread holds `States` pairs of a channel and a state, a warp 32 / `Lanes` channels
/// (`BackwardLayout`). A warp first prepares its channels × steps (loads, softplus, gate) spread over its
/// threads (`BackwardPositions`), then recomputes the states of the chunk into registers and walks back.
/// States between checkpoints and chunks are found by a forward pass that begins at the checkpoint
/// (`BackwardWalk`). Steps past the end and channels past the last one carry zeros, which change nothing.
///
/// d_B and d_C are sums over channels. A thread keeps its states in an order of its own, state j XOR a
/// number made from its place, so that halving exchanges between threads need no selection: what a
/// thread sends lies in the upper half of its registers, what it keeps in the lower. Its two channels are in
/// such an order, too, for the sums over states. Tiles of B and C lie in shared memory once for each order
/// within a vector.
template <class IO, int States, int Lanes, bool Gate, SelectiveScanGradients Wanted>
struct BackwardKernel {
  static constexpr BackwardWork work{Wanted, Gate};
  using Layout = BackwardLayout<States, Lanes>;
  using Place = BackwardPlace<Layout>;
  using Positions = BackwardPositions<IO, Layout, Gate, Wanted>;
  static constexpr bool wants_BC = work.B || work.C;

  static constexpr int threads = Layout::threads;
  static constexpr int warps = Layout::warps;
  static constexpr int chunk = Layout::chunk;
  static constexpr int channels = Layout::channels;
  static constexpr int padded_states = Layout::padded_states;
  static constexpr int own = Layout::own;
  static constexpr int held = Layout::held;
  static constexpr int places = Layout::places;
  static constexpr int width = Layout::width;
  using OverChannels = ChannelSums<held, places, work.B, work.C>;
  static constexpr int state_levels = OverChannels::state_levels;
  // Levels that exchange within a vector need copies of the tile in the exchanged orders.
  static constexpr int vector_levels = log2_of(held) - log2_of(width);
  static constexpr int copy_levels = state_levels > vector_levels ? state_levels - vector_levels : 0;
  static constexpr int copies = 1 << copy_levels;
  static constexpr int copy_step = width >> copy_levels;

  using Tile = KernelTile<IO, threads, chunk, padded_states>;
  static constexpr int tile_values = Tile::values;
  static constexpr int tile_floats = tile_values * copies;
  static constexpr int partial_floats = wants_BC ? warps * tile_values : 0;
  // Two where they leave room for other blocks, so that no barrier separates adding up from the next chunk.
  static constexpr int partial_buffers = partial_floats > 8192 ? 1 : 2;
  static constexpr int prepared_floats = chunk * Layout::prepared_row * 4;  // of a warp
  static constexpr int sums_floats = work.state_sums() ? chunk * Layout::sums_row * 4 : 0;
  static constexpr int tiles_at = 0;
  static constexpr int prepared_at = tiles_at + 2 * tile_floats;
  static constexpr int sums_at = prepared_at + warps * prepared_floats;
  static constexpr int partials_at = sums_at + warps * sums_floats;
  static constexpr int starts_at = partials_at + partial_buffers * partial_floats;
  static constexpr int partials_in(int buffer) {
    return partials_at + (partial_buffers == 1 ? 0 : buffer * partial_floats);
  }
  static constexpr int resident_blocks = 3;

  using Arguments = BackwardArguments<IO>;

  static constexpr std::size_t shared_floats_for(int checkpoint_interval) {
    return static_cast<std::size_t>(starts_at) +
           static_cast<std::size_t>(checkpoint_interval / chunk - 1) * States * threads;
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const KernelInputs<IO>& in = x.in;
    const int groups = ceil_div(in.channels, channels);
    const SegmentOfBlock segment(in, block.index(), groups);
    const int interval = in.checkpoint_interval, interval_bits = log2_of(interval);
    const int thread = block.thread();
    const int warp = thread / 32;
    const int lane = thread % 32;
    const int warp_first = segment.group * channels + warp * Layout::warp_channels;

    const Place place(lane, warp_first, OverChannels::order_of);
    const int copy = copies == 1 ? 0 : (place.order & (width - 1)) / copy_step;

    const auto shared = block.shared();
    const auto prepared = shared.from(prepared_at + warp * prepared_floats);
    const auto sums = shared.from(sums_at + warp * sums_floats);
    const auto own_sums = sums.from(lane * 4);
    const auto starts = shared.from(starts_at + thread);
    Positions positions(x, lane, warp_first);

    float a2[States];     // A·log2(e)
    float carry[States];  // a·g of the step after: what the future asks of the state
    float d_a[States];
    unroll<States>([&](auto k) { d_a[k] = 0.0F; });
    begin(x, segment, place, a2, carry);

    const Position checkpoint_row = CheckpointLayout::first_row(segment.first, segment.sequence, interval);
    const int length = static_cast<int>(segment.end - segment.begin);
    const auto steps_of = [&](int chunk_index) {  // of the chunk, that exist
      const int left = length - chunk_index * chunk;
      return left < chunk ? left : chunk;
    };
    const Tile mover(thread, in.states, in.state_vectors);
    const auto add_up_partials = [&](int buffer, int chunk_index) {
      if constexpr (wants_BC) {
        mover.template add_up<warps, work.B, work.C>(
            block, shared.from(partials_in(buffer)), steps_of(chunk_index),
            segment.group * in.rows + segment.begin + chunk_index * chunk, x.d_B_partials, x.d_C_partials);
      }
    };

    typename Positions::Raw raw{};
    typename Tile::Staged staged{};
    const auto load = [&](const BackwardWalk::Item& item) {
      const Position row0 = segment.begin + item.chunk * chunk;
      positions.load(block, x, row0, steps_of(item.chunk), raw);
      mover.load(block, in, row0, steps_of(item.chunk), staged);
    };
    const BackwardWalk walk(ceil_div(length, chunk), interval / chunk);
    BackwardWalk::Item item = walk.first();
    if (item.valid()) load(item);
    float h[States];
    unroll<States>([&](auto k) { h[k] = 0.0F; });
    int partials_of = -1;  // the chunk whose partial sums wait to be added up
    int buffer = 0;

    while (item.valid()) {
      mover.template store<copies, copy_step>(shared.from(tiles_at + buffer * tile_floats), staged);
      const int steps = steps_of(item.chunk);
      positions.prepare(block, raw, steps, item.light, prepared);
      block.sync();

      const BackwardWalk::Item next = walk.after(item);
      // Loads run ahead from where half of the states that are walked back through are done with: their
      // registers are free then.
      const auto load_next = [&] {
        if (next.valid()) load(next);
      };
      if (partials_of >= 0) add_up_partials(buffer ^ 1, partials_of);
      if constexpr (wants_BC && partial_buffers == 1) block.sync();
      const auto tile =
          shared.from(tiles_at + buffer * tile_floats + copy * padded_states + place.first_state);
      auto load_row = [&](int t, int which, float(&values)[held]) {
        unroll<held / width>([&](auto v) {
          tile.template load_vector<width>(
              (t * 2 + which) * copies * padded_states + ((v * width) ^ place.vector_order()),
              &values[v * width]);
        });
      };
      // One step of time: h becomes a·h + delta·u·B.
      auto advance = [&](int t) {
        float b[held];
        load_row(t, 0, b);
        unroll<own>([&](auto o) {
          float p[2];
          prepared.template load_vector<2>((t * Layout::prepared_row + place.slot_of(o)) * 4, p);
          unroll<held>([&](auto j) {
            constexpr int k = decltype(o)::value * held + decltype(j)::value;
            h[k] = block.exp2(p[0] * a2[k]) * h[k] + p[1] * b[j];
          });
        });
      };

      // The state at the beginning of the chunk; the last chunk of a range follows a light one.
      if (walk.begins_range(item)) {
        load_state(block, x, segment, place, checkpoint_row, interval_bits,
                   segment.begin + item.chunk * chunk, h);
      } else if (!item.light && !walk.ends_range(item)) {
        unroll<States>([&](auto k) { h[k] = starts.load(((walk.place(item) - 1) * States + k) * threads); });
      }

      if (item.light) {
        load_next();
        for (int t = 0; t < chunk; ++t) advance(t);
        unroll<States>([&](auto k) { starts.store((walk.place(item) * States + k) * threads, h[k]); });
        block.sync_warp();
        partials_of = -1;
      } else {
        float before[chunk][States];
        unroll<chunk>([&](auto t) {
          unroll<States>([&](auto k) { before[t][k] = h[k]; });
          advance(t);
        });

        const auto partials = shared.from(partials_in(buffer) + warp * tile_values + place.first_state);
        unroll<chunk>([&](auto reversed) {
          constexpr int t = chunk - 1 - decltype(reversed)::value;
          if constexpr (t == chunk / 2 - 1) load_next();
          float b[held];
          float c[held];
          [[maybe_unused]] float d_b[held];
          [[maybe_unused]] float d_c[held];
          load_row(t, 0, b);
          load_row(t, 1, c);
          [[maybe_unused]] float sum[own][4] = {};  // Σ c·h, Σ g·B, Σ A·log2(e)·g·a·h
          unroll<own>([&](auto o) {
            float p[4];  // delta, delta·u, d_y, u
            prepared.template load_vector<4>((t * Layout::prepared_row + place.slot_of(o)) * 4, p);
            unroll<held>([&](auto j) {
              constexpr int k = decltype(o)::value * held + decltype(j)::value;
              float after = 0.0F;
              if constexpr (t + 1 < chunk) {
                after = before[t + 1][k];
              } else {
                after = h[k];
              }
              const float g = c[j] * p[2] + carry[k];
              if constexpr (work.z) sum[o][0] += c[j] * after;
              if constexpr (work.C) d_c[j] = o == 0 ? p[2] * after : d_c[j] + p[2] * after;
              if constexpr (work.B) d_b[j] = o == 0 ? p[1] * g : d_b[j] + p[1] * g;
              if constexpr (work.gB()) sum[o][1] += g * b[j];
              carry[k] = block.exp2(p[0] * a2[k]) * g;
              if constexpr (work.gah()) {
                const float q = carry[k] * before[t][k];
                if constexpr (work.A) d_a[k] += p[0] * q;
                if constexpr (work.delta) sum[o][2] += a2[k] * q;
              }
            });
          });
          // First, so that the products are fused with the first sums.
          if constexpr (wants_BC) OverChannels::store(block, partials, t, place.rank, place.order, d_b, d_c);
          if constexpr (work.state_sums()) {
            if constexpr (own == 2)
              unroll<3>([&](auto i) { sum[0][i] += block.shuffle_xor(sum[1][i], places); });
            own_sums.template store_vector<4>(t * Layout::sums_row * 4, sum[0]);
          }
        });
        block.sync_warp();
        positions.finish(block, x, segment.begin + item.chunk * chunk, steps, prepared, sums);
        block.sync_warp();
        partials_of = item.chunk;
      }
      buffer ^= 1;
      item = next;
    }
    if constexpr (wants_BC) {
      block.sync();
      if (partials_of >= 0) add_up_partials(buffer ^ 1, partials_of);
    }

    finish(x, segment, place, carry, d_a);
    positions.finish_channels(block, x, segment.slot);
  }

 private:
  static constexpr void begin(const Arguments& x, const SegmentOfBlock& segment, const Place& place,
                              float (&a2)[States], float (&carry)[States]) {
    const KernelInputs<IO>& in = x.in;
    unroll<States>([&](auto k) {
      const int channel = place.channel_of(k / held);
      const int n = place.state_of(k % held);
      const bool inside = channel < in.channels && n < in.states;
      a2[k] = inside ? in.A[channel * in.a_stride + n] * log2_e : 0.0F;
      carry[k] = 0.0F;
      if (inside && x.incoming != nullptr) {
        carry[k] = x.incoming[(segment.slot * in.states + n) * in.channels + channel];
      } else if (inside && segment.last && x.d_final_state != nullptr) {
        carry[k] = x.d_final_state[segment.sequence * x.d_final_stride + Position{channel} * in.states + n];
      }
    });
  }

  /// The states before row `base`, where a checkpoint was kept or the sequence begins.
  template <class Block>
  static constexpr void load_state(const Block& block, const Arguments& x, const SegmentOfBlock& segment,
                                   const Place& place, Position first_row, int interval_bits, Position base,
                                   float (&h)[States]) {
    const KernelInputs<IO>& in = x.in;
    const CheckpointLayout layout(in.channels, in.states);
    const Position local = base - segment.first;
    unroll<States>([&](auto k) { h[k] = 0.0F; });
    unroll<own>([&](auto o) {
      const int channel = place.channel_of(o);
      if (channel >= in.channels) return;
      if (local > 0) {
        if constexpr (!work.states()) return;  // no gradient depends on them
        const float* const kept =
            x.checkpoints + layout.template at<width>(first_row + (local >> interval_bits), 0, channel);
        const Position group_step = Position{in.channels} * width;
        unroll<held / width>([&](auto v) {
          const int first = place.first_state + ((v * width) ^ place.vector_order());
          if (first < in.states) {
            float values[width];
            block.template load_vector<width>(kept + first / width * group_step, values);
            reorder_by_xor(values, place.order);
            unroll<width>([&](auto j) { h[o * held + v * width + j] = values[j]; });
          }
        });
      } else if (in.initial_state != nullptr) {
        const float* const initial =
            in.initial_state + segment.sequence * in.initial_stride + Position{channel} * in.states;
        unroll<held>([&](auto j) {
          const int n = place.state_of(j);
          if (n < in.states) h[o * held + j] = initial[n];
        });
      }
    });
  }

  static constexpr void finish([[maybe_unused]] const Arguments& x,
                               [[maybe_unused]] const SegmentOfBlock& segment,
                               [[maybe_unused]] const Place& place,
                               [[maybe_unused]] const float (&carry)[States],
                               [[maybe_unused]] const float (&d_a)[States]) {
    const KernelInputs<IO>& in = x.in;
    unroll<States>([&](auto k) {
      const int channel = place.channel_of(k / held);
      const int n = place.state_of(k % held);
      if (channel >= in.channels || n >= in.states) return;
      if constexpr (work.A) {
        int a_column = channel;
        bool keeps_a = true;
        if constexpr (Wanted.A == AGradient::SelectedChannels) {
          a_column = place_among(x.selected, x.a_columns, channel);
          keeps_a = a_column < x.a_columns && x.selected[a_column] == channel;
        }
        if (keeps_a) x.d_A_partials[(segment.slot * in.states + n) * x.a_columns + a_column] = d_a[k];
      }
      if constexpr (Wanted.initial_state) {
        if (segment.head) {
          float& gradient =
              x.d_initial_state[segment.sequence * x.d_initial_stride + Position{channel} * in.states + n];
          gradient = x.adds_initial_state ? gradient + carry[k] : carry[k];
        }
      }
    });
  }
};

}  // namespace sdlora::detail
