#pragma once

#include "../../tensor/block_reduce.hpp"
#include "../../tensor/extents.hpp"
#include "adamw_update.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

// An optimizer's step on a GPU, written against a block policy (thread and block index, barrier, shuffle,
// shared memory), so that a host emulator runs it too.

namespace sdlora::detail {

struct SumOfSquaresArguments {
  float* parts;
  const float* values;
  std::int64_t count;
};

/// The sum of squares of values in parts, one for each block, cut by their number alone.
struct SumOfSquaresKernel {
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = threads / 32;
  using Arguments = SumOfSquaresArguments;

  /// At most 1024.
  static constexpr std::int64_t blocks(std::int64_t count) {
    constexpr std::int64_t each = threads * 8;
    constexpr std::int64_t most = 1024;
    const std::int64_t wanted = ceil_div(count, each);
    return wanted < most ? wanted : most;
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t stride = blocks(x.count) * threads;
    float sum = 0.0F;
    for (std::int64_t i = block.index() * threads + block.thread(); i < x.count; i += stride) {
      sum += x.values[i] * x.values[i];
    }
    sum = block_reduce<threads>(block, sum, [](float a, float b) { return a + b; });
    if (block.thread() == 0) x.parts[block.index()] = sum;
  }
};

/// How many floats run_sum_of_squares writes, at most 1024.
constexpr std::size_t sum_of_squares_parts(std::size_t count) {
  return static_cast<std::size_t>(SumOfSquaresKernel::blocks(static_cast<std::int64_t>(count)));
}

/// parts (sum_of_squares_parts(count)) = sums of squares of some of the values each, to be added on the host
/// in double. Magnitudes above 1e19 overflow.
template <class Launcher>
void run_sum_of_squares(Launcher& launcher, const float* values, std::size_t count, float* parts) {
  const SumOfSquaresArguments arguments{parts, values, static_cast<std::int64_t>(count)};
  launcher.template run<SumOfSquaresKernel>(SumOfSquaresKernel::blocks(arguments.count),
                                            SumOfSquaresKernel::shared_floats, arguments);
}

inline namespace SDLORA_SIMD_TAG {

struct AdamWArguments {
  float* values;
  float* first;
  float* second;
  const float* gradients;
  std::int64_t count;
  AdamWFactors<float> factors;
};

struct AdamWKernel {
  static constexpr int threads = 256;
  static constexpr int per_thread = 4;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = AdamWArguments;

  static constexpr std::int64_t blocks(std::int64_t count) { return ceil_div(count, threads * per_thread); }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const AdamWFactors<float>& f = x.factors;
    const std::int64_t begin = block.index() * (threads * per_thread) + block.thread();
    for (int k = 0; k < per_thread; ++k) {
      const std::int64_t i = begin + k * threads;
      if (i >= x.count) return;
      const float g = x.gradients[i];
      const float first = f.beta1 * x.first[i] + f.rest1 * g;
      const float second = f.beta2 * x.second[i] + f.rest2 * (g * g);
      x.first[i] = first;
      x.second[i] = second;
      x.values[i] = f.keep * x.values[i] - f.scale * first / (std::sqrt(second) * f.root + f.epsilon);
    }
  }
};

/// AdamW's update of `count` values and their moments from gradients, by one kernel.
template <class Launcher>
void run_adamw(Launcher& launcher, float* values, float* first, float* second, const float* gradients,
               std::size_t count, const AdamWFactors<float>& factors) {
  const AdamWArguments arguments{values, first, second, gradients, static_cast<std::int64_t>(count), factors};
  launcher.template run<AdamWKernel>(AdamWKernel::blocks(arguments.count), AdamWKernel::shared_floats,
                                     arguments);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
