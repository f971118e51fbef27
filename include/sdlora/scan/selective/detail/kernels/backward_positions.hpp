#pragma once

#include "../backward_work.hpp"
#include "arguments.hpp"
#include "backward_layout.hpp"
#include "packed.hpp"

#include <cstddef>

namespace sdlora::detail {

/// One thread's positions (row, channel) of a backward: what lies in them is loaded and made into what the
/// walk through the states needs, and afterwards what the walk has left is made into their gradients.
template <class IO, class Layout, bool Gate, SelectiveScanGradients Wanted>
class BackwardPositions {
  static constexpr BackwardWork work{Wanted, Gate};
  static constexpr int vector = Layout::vector;
  static constexpr int passes = Layout::passes;
  static constexpr int chunk = Layout::chunk;

 public:
  /// The positions of a chunk as they are loaded.
  struct Raw {
    Packed<IO, vector> u[passes], dt[passes], z[passes], d_out[passes];
  };

  constexpr BackwardPositions(const BackwardArguments<IO>& x, int lane, int first_channel)
      : column_(lane % Layout::columns),
        first_step_(lane / Layout::columns),
        channel_(first_channel + column_ * vector),
        vectors_(x.channel_vectors) {
    const int left = x.in.channels - channel_;
    count_ = left < 0 ? 0 : left < vector ? left : vector;
    unroll<vector>([&](auto v) {
      const bool inside = v < count_;
      bias_[v] = inside && x.in.dt_bias != nullptr ? x.in.dt_bias[channel_ + v] : 0.0F;
      skip_[v] = inside && x.in.D != nullptr ? x.in.D[channel_ + v] : 0.0F;
    });
  }

  /// Loads the positions of the chunk that begins at `row`, of which `steps` time steps exist; where a thread
  /// has none, those of a neighbour.
  template <class Block>
  constexpr void load(const Block& block, const BackwardArguments<IO>& x, Position row, int steps,
                      Raw& raw) const {
    unroll<passes>([&](auto i) {
      const int own = step(i);
      const auto from = static_cast<std::size_t>(row + (own < steps ? own : steps - 1));
      raw.u[i] = load_vector(block, x.in.u, from);
      raw.dt[i] = load_vector(block, x.in.dt, from);
      raw.d_out[i] = load_vector(block, x.d_out, from);
      if constexpr (Gate) raw.z[i] = load_vector(block, x.in.z, from);
    });
  }

  /// Leaves (delta, delta·u, ∂loss/∂y, u) of each position in `prepared`, zeros where there is none. `light`:
  /// a pass that only looks for states needs no more than the first two.
  template <class Block, class Shared>
  constexpr void prepare(const Block& block, const Raw& raw, int steps, bool light, Shared prepared) {
    const Shared own = prepared.from((first_step_ * Layout::prepared_row + column_) * 4);
    unroll<passes>([&](auto i) {
      if (Layout::step_stride > chunk && step(i) >= chunk) return;
      float rows[vector][4];
      if (step(i) < steps) {
        unroll<vector>([&](auto v) {
          rows[v][2] = 0.0F;
          float delta = raw.dt[i].get(v) + bias_[v];
          rows[v][3] = raw.u[i].get(v);
          if (light) {
            delta = kernel_softplus(block, delta);
          } else {
            const SoftplusWithSlope both = softplus_with_slope(block, delta);
            delta = both.value;
            slope_[i][v] = both.slope;
            rows[v][2] = raw.d_out[i].get(v);
            if constexpr (Gate) {
              const float z = raw.z[i].get(v);
              const float s = sigmoid(block, z);
              const float silu = z * s;
              if constexpr (work.z) gate_slope_[i][v] = rows[v][2] * (s + silu * (1.0F - s));
              rows[v][2] *= silu;
            }
          }
          rows[v][0] = delta;
          rows[v][1] = delta * rows[v][3];
        });
      } else {
        unroll<vector>([&](auto v) { rows[v][0] = rows[v][1] = rows[v][2] = rows[v][3] = 0.0F; });
      }
      unroll<vector>([&](auto v) {
        own.template store_vector<4>(
            (i * Layout::step_stride * Layout::prepared_row + v * Layout::columns) * 4, rows[v]);
      });
    });
  }

  /// Turns `sums`, (Σ c·h, Σ g·B, Σ A·log2(e)·g·a·h) of each position in `Lanes` parts, into gradients.
  template <class Block, class Shared>
  constexpr void finish(const Block& block, const BackwardArguments<IO>& x, Position row, int steps,
                        Shared prepared, Shared sums) {
    const Shared own = prepared.from((first_step_ * Layout::prepared_row + column_) * 4);
    const Shared own_sums = sums.from((first_step_ * Layout::sums_row + column_) * 4);
    unroll<passes>([&](auto i) {
      const int t = step(i);
      if (t < steps && count_ > 0) {
        [[maybe_unused]] float d_u[vector], d_dt[vector], d_z[vector];
        unroll<vector>([&](auto v) {
          float p[4];
          own.template load_vector<4>(
              (i * Layout::step_stride * Layout::prepared_row + v * Layout::columns) * 4, p);
          [[maybe_unused]] float sum[4] = {};
          if constexpr (work.state_sums()) {
            unroll<Layout::sum_parts>([&](auto part) {
              float q[4];
              own_sums.template load_vector<4>((i * Layout::step_stride * Layout::sums_row +
                                                part * Layout::warp_channels + v * Layout::columns) *
                                                   4,
                                               q);
              unroll<3>([&](auto k) { sum[k] += q[k]; });
            });
          }
          if constexpr (Wanted.u) d_u[v] = p[0] * sum[1] + skip_[v] * p[2];
          if constexpr (work.delta) {
            d_dt[v] = (p[3] * sum[1] + sum[2] * ln_2) * slope_[i][v];
            d_bias_[v] += d_dt[v];
          }
          if constexpr (work.z) d_z[v] = gate_slope_[i][v] * (sum[0] + skip_[v] * p[3]);
          if constexpr (Wanted.D) d_skip_[v] += p[2] * p[3];
        });
        [[maybe_unused]] const auto at = static_cast<std::size_t>(row + t);
        if constexpr (Wanted.u) store_vector(block, x.d_u, at, d_u);
        if constexpr (Wanted.dt) store_vector(block, x.d_dt, at, d_dt);
        if constexpr (work.z) store_vector(block, x.d_z, at, d_z);
      }
    });
  }

  /// Sums over all steps: what this segment gives to the gradients of D and of dt's bias.
  template <class Block>
  constexpr void finish_channels(const Block& block, const BackwardArguments<IO>& x, Position slot) {
    if constexpr (Wanted.D || Wanted.dt_bias) {
      unroll<vector>([&](auto v) {
        unroll<log2_of(Layout::step_stride)>([&](auto l) {
          if constexpr (Wanted.D) d_skip_[v] += block.shuffle_xor(d_skip_[v], Layout::columns << l);
          if constexpr (Wanted.dt_bias) d_bias_[v] += block.shuffle_xor(d_bias_[v], Layout::columns << l);
        });
        if (first_step_ == 0 && v < count_) {
          const Position to = slot * x.in.channels + channel_ + v;
          if constexpr (Wanted.D) x.d_D_partials[to] = d_skip_[v];
          if constexpr (Wanted.dt_bias) x.d_bias_partials[to] = d_bias_[v];
        }
      });
    }
  }

 private:
  constexpr int step(int pass) const { return first_step_ + pass * Layout::step_stride; }

  template <class Block>
  constexpr Packed<IO, vector> load_vector(const Block& block, const MatrixView<const IO>& matrix,
                                           std::size_t row) const {
    return Packed<IO, vector>::load(
        block, matrix.data + row * matrix.stride + static_cast<std::size_t>(channel_), count_, vectors_);
  }
  template <class Block>
  constexpr void store_vector(const Block& block, const MatrixView<IO>& matrix, std::size_t row,
                              const float (&values)[vector]) const {
    Packed<IO, vector>::store(block, matrix.data + row * matrix.stride + static_cast<std::size_t>(channel_),
                              values, count_, vectors_);
  }

  int column_;
  int first_step_;
  int channel_;    // the first of `vector`
  int count_ = 0;  // of them that exist
  bool vectors_;
  float bias_[vector], skip_[vector];
  float d_bias_[vector] = {}, d_skip_[vector] = {};
  float slope_[passes][vector] = {};       // ∂delta/∂dt
  float gate_slope_[passes][vector] = {};  // ∂out/∂z·∂loss/∂out·1/y
};

}  // namespace sdlora::detail
