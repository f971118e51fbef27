#pragma once

#include "kernel_arguments.hpp"
#include "kernel_arithmetic.hpp"

#include <cstddef>

namespace sdlora::detail {

/// B and C of a chunk of time steps on their way to shared memory, and dB and dC on their way back: both are
/// (step, B or C, state), and every thread of the block moves a value per round.
template <class IO, int Threads, int Chunk, int PaddedStates>
struct BackwardKernelTile {
  static constexpr int values = Chunk * 2 * PaddedStates;
  static constexpr int rounds = (values + Threads - 1) / Threads;
  // Where a row of B and C is no longer than a block, state and matrix are the same in all rounds.
  static constexpr bool fixed_column = Threads % (2 * PaddedStates) == 0;

  /// What a thread has loaded and not yet stored.
  struct Staged {
    IO value[rounds];
  };

  static constexpr int state_of(int thread, int k) {
    return (thread + (fixed_column ? 0 : k * Threads)) % PaddedStates;
  }
  static constexpr bool is_c(int thread, int k) {
    return ((thread + (fixed_column ? 0 : k * Threads)) / PaddedStates) % 2 == 1;
  }
  static constexpr int step_of(int thread, int k) {
    if constexpr (fixed_column) {
      return thread / (2 * PaddedStates) + k * (Threads / (2 * PaddedStates));
    } else {
      return (thread + k * Threads) / (2 * PaddedStates);
    }
  }

  /// Loads rows row0 … row0 + count − 1; zeros behind them and in states past the last.
  static constexpr void load(int thread, const KernelInputs<IO>& in, Position row0, int count,
                             Staged& staged) {
    unroll<rounds>([&](auto k) {
      const int n = state_of(thread, k);
      const int step = step_of(thread, k);
      staged.value[k] = IO(0.0F);
      if (step < count && n < in.states) {
        const auto row = static_cast<std::size_t>(row0 + step);
        staged.value[k] = is_c(thread, k) ? in.C.row(row)[n] : in.B.row(row)[n];
      }
    });
  }

  /// Stores every row `Copies` times, copy c in the order state XOR c·CopyStep.
  template <int Copies, int CopyStep, class Shared>
  static constexpr void store(int thread, Shared tile, const Staged& staged) {
    unroll<rounds>([&](auto k) {
      const int i = thread + k * Threads;
      if (i < values) {
        const int n = i % PaddedStates;
        const int at_row = (i / PaddedStates) * Copies * PaddedStates;
        const float value = static_cast<float>(staged.value[k]);
        unroll<Copies>([&](auto c) { tile.store(at_row + c * PaddedStates + (n ^ (c * CopyStep)), value); });
      }
    });
  }

  /// Adds up what the warps of the block have left in `partials`, (warp, tile), into rows of d_B and d_C.
  template <int Warps, bool WantsB, bool WantsC, class Shared>
  static constexpr void add_up(int thread, Shared partials, int count, Position first_row, int states,
                               float* d_B, float* d_C) {
    unroll<rounds>([&](auto k) {
      const int n = state_of(thread, k);
      const int step = step_of(thread, k);
      const bool c = is_c(thread, k);
      if (step < count && n < states && (c ? WantsC : WantsB)) {
        float sum = 0.0F;
        unroll<Warps>([&](auto w) { sum += partials.load(w * values + thread + k * Threads); });
        (c ? d_C : d_B)[(first_row + step) * states + n] = sum;
      }
    });
  }
};

}  // namespace sdlora::detail
