#pragma once

#include "../../tensor/block_reduce.hpp"
#include "../../tensor/matrix_view.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

// The rows of head_cross_entropy (cross_entropy.hpp) on a GPU, written against a block policy (thread and
// block index, barrier, shuffle, shared memory), so that a host emulator runs it too.

namespace sdlora::detail {

struct CrossEntropyArguments {
  MatrixView<float> logits;     // (count, V)
  const std::int32_t* targets;  // (count)
  float* losses;                // (count)
  float scale;
};

/// A block takes a row.
template <bool WantsGradient>
struct CrossEntropyKernel {
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 4;
  static constexpr std::size_t shared_floats = threads / 32;
  using Arguments = CrossEntropyArguments;

  static constexpr std::int64_t blocks(std::int64_t rows) { return rows; }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const auto i = static_cast<std::size_t>(block.index());
    float* const row = x.logits.row(i);
    const auto count = static_cast<std::int64_t>(x.logits.cols);
    const std::int64_t target = x.targets[i];
    const float at_target = row[target];

    float top = -std::numeric_limits<float>::infinity();
    for (std::int64_t j = block.thread(); j < count; j += threads) top = row[j] > top ? row[j] : top;
    top = block_reduce<threads>(block, top, [](float a, float b) { return a > b ? a : b; });
    float sum = 0.0F;
    for (std::int64_t j = block.thread(); j < count; j += threads) sum += std::exp(row[j] - top);
    // Behind the barriers in it no thread reads the row of others.
    sum = block_reduce<threads>(block, sum, [](float a, float b) { return a + b; });

    if (block.thread() == 0) x.losses[i] = std::log(sum) - (at_target - top);
    if constexpr (WantsGradient) {
      const float factor = x.scale / sum;
      for (std::int64_t j = block.thread(); j < count; j += threads) {
        row[j] = factor * std::exp(row[j] - top) - (j == target ? x.scale : 0.0F);
      }
    }
  }
};

/// losses[i] = log Σ_j exp(logits(i, j)) − logits(i, targets[i]). Where `wants_gradient`, logits become the
/// gradient of scale · Σ losses by them. logits (n, V), targets and losses (n), targets at least 0 and below
/// V.
template <class Launcher>
void run_cross_entropy(Launcher& launcher, MatrixView<float> logits, const std::int32_t* targets,
                       float* losses, bool wants_gradient, float scale) {
  const CrossEntropyArguments arguments{logits, targets, losses, scale};
  const auto rows = static_cast<std::int64_t>(logits.rows);
  if (wants_gradient) {
    using Kernel = CrossEntropyKernel<true>;
    launcher.template run<Kernel>(Kernel::blocks(rows), Kernel::shared_floats, arguments);
  } else {
    using Kernel = CrossEntropyKernel<false>;
    launcher.template run<Kernel>(Kernel::blocks(rows), Kernel::shared_floats, arguments);
  }
}

}  // namespace sdlora::detail
