#pragma once

#include "../../../detail/kernel_arithmetic.hpp"
#include "arguments.hpp"
#include "packed.hpp"

#include <cstddef>

namespace sdlora::detail {

/// B and C of `Steps` time steps on their way to shared memory, and d_B and d_C on their way back, as one
/// thread of the block sees them: it moves `vector` neighbouring states of a step, `rounds` times. Both are
/// (step, B or C, state).
template <class IO, int Threads, int Steps, int PaddedStates>
class KernelTile {
 public:
  static constexpr int values = Steps * 2 * PaddedStates;

 private:
  static constexpr int vector = values >= 4 * Threads && PaddedStates >= 4   ? 4
                                : values >= 2 * Threads && PaddedStates >= 2 ? 2
                                                                             : 1;
  static constexpr int columns = 2 * PaddedStates / vector;  // threads side by side on a step
  static constexpr int step_stride = columns < Threads ? Threads / columns : 1;
  static constexpr int column_rounds = columns > Threads ? columns / Threads : 1;
  static constexpr int step_rounds = step_stride < Steps ? Steps / step_stride : 1;
  static constexpr int rounds = step_rounds * column_rounds;
  static constexpr bool idle = step_stride > Steps;  // threads without a step

 public:
  /// What a thread has loaded and not yet stored.
  struct Staged {
    Packed<IO, vector> value[rounds];
  };

  /// `vectors`: four values of a row of B, C, d_B and d_C can be read and written at once.
  constexpr KernelTile(int thread, int states, bool vectors)
      : thread_(thread), first_step_(thread / columns), states_(states), vectors_(vectors) {}

  /// Loads rows row0 … row0 + count − 1; zeros behind them and in states past the last, and in C without
  /// `WithC`.
  template <bool WithC = true, class Block>
  constexpr void load(const Block& block, const KernelInputs<IO>& in, Position row0, int count,
                      Staged& staged) const {
    unroll<rounds>([&](auto k) {
      const int n = state(k);
      staged.value[k] = {};
      if (step(k) < count && n < states_ && (WithC || !is_c(k))) {
        const MatrixView<const IO>& matrix = is_c(k) ? in.C : in.B;
        staged.value[k] =
            Packed<IO, vector>::load(block,
                                     matrix.data + static_cast<std::size_t>(row0 + step(k)) * matrix.stride +
                                         static_cast<std::size_t>(n),
                                     states_ - n, vectors_);
      }
    });
  }

  /// Stores every row `Copies` times, copy c in the order state XOR c·CopyStep.
  template <int Copies = 1, int CopyStep = 1, class Shared>
  constexpr void store(Shared tile, const Staged& staged) const {
    unroll<rounds>([&](auto k) {
      if (idle && step(k) >= Steps) return;
      const int at_row = (step(k) * 2 + (is_c(k) ? 1 : 0)) * Copies * PaddedStates;
      unroll<Copies>([&](auto c) {
        constexpr int order = decltype(c)::value * CopyStep;
        float row[vector];
        unroll<vector>([&](auto i) { row[i] = staged.value[k].get(i ^ (order & (vector - 1))); });
        tile.template store_vector<vector>(at_row + c * PaddedStates + (state(k) ^ (order & ~(vector - 1))),
                                           row);
      });
    });
  }

  /// Adds up what the warps of the block have left in `partials`, (warp, tile), into rows of d_B and d_C.
  template <int Warps, bool WantsB, bool WantsC, class Block, class Shared>
  constexpr void add_up(const Block& block, Shared partials, int count, Position first_row, float* d_B,
                        float* d_C) const {
    unroll<rounds>([&](auto k) {
      const int n = state(k);
      if (step(k) < count && n < states_ && (is_c(k) ? WantsC : WantsB)) {
        float sum[vector] = {};
        const int from = (step(k) * 2 + (is_c(k) ? 1 : 0)) * PaddedStates + n;
        unroll<Warps>([&](auto w) {
          float part[vector];
          partials.template load_vector<vector>(w * values + from, part);
          unroll<vector>([&](auto i) { sum[i] += part[i]; });
        });
        Packed<float, vector>::store(block, (is_c(k) ? d_C : d_B) + (first_row + step(k)) * states_ + n, sum,
                                     states_ - n, vectors_);
      }
    });
  }

 private:
  constexpr int step(int k) const { return first_step_ + k / column_rounds * step_stride; }
  constexpr int column(int k) const { return thread_ % columns + k % column_rounds * Threads; }
  constexpr int state(int k) const { return column(k) * vector % PaddedStates; }
  constexpr bool is_c(int k) const { return column(k) * vector >= PaddedStates; }

  int thread_;
  int first_step_;
  int states_;
  bool vectors_;
};

}  // namespace sdlora::detail
