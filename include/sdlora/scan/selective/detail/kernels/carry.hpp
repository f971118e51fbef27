#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../detail/kernel_arithmetic.hpp"
#include "arguments.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora::detail {

/// Between the two passes of a split scan: turns what segments do to a zero state into the states
/// that enter them. A product of decays over a segment is exp(A·Σdelta), so one sum serves all states.
template <bool Reverse>
struct CarryKernel {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_floats = 0;
  static constexpr int resident_blocks = 1;
  using Arguments = CarryArguments;

  static constexpr Position blocks(Position sequences, int channels, int states) {
    return ceil_div(sequences * channels * states, threads);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Position i = block.index() * threads + block.thread();
    const Position per_sequence = Position{x.states} * x.channels;
    if (i >= x.sequences * per_sequence) return;
    const Position s = i / per_sequence;
    const auto n = static_cast<int>(i % per_sequence / x.channels);
    const auto e = static_cast<int>(i % x.channels);
    const float a2 = x.A[e * x.a_stride + n] * log2_e;
    float state =
        x.boundary != nullptr ? x.boundary[s * x.boundary_stride + Position{e} * x.states + n] : 0.0F;
    for (Position k = 0; k < x.segments; ++k) {
      const Position slot = s * x.segments + (Reverse ? x.segments - 1 - k : k);
      float& carry = x.carries[(slot * x.states + n) * x.channels + e];
      const float effect = carry;
      carry = state;
      state = block.exp2(a2 * x.delta_sums[slot * x.channels + e]) * state + effect;
    }
  }
};

/// The second pass of a deterministic sum: parts are added in their order.
template <class Out>
struct SumKernel {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_floats = 0;
  static constexpr int resident_blocks = 1;
  using Arguments = SumArguments<Out>;

  static constexpr Position blocks(Position rows, Position cols) { return ceil_div(rows * cols, threads); }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Position i = block.index() * threads + block.thread();
    const Position size = x.rows * x.cols;
    if (i >= size) return;
    float sum = 0.0F;
    for (Position part = 0; part < x.parts; ++part) sum += x.partials[part * size + i];
    const Position row = x.transposed ? i % x.rows : i / x.cols;
    const Position col = x.transposed ? i / x.rows : i % x.cols;
    Out& out = x.out[row * x.out_stride + col];
    if constexpr (std::is_same_v<Out, float>) {
      if (x.adds) sum = out + sum;
    }
    out = block.template narrow<Out>(sum);
  }
};

}  // namespace sdlora::detail
