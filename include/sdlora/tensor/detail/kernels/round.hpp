#pragma once

#include "../../bfloat16.hpp"
#include "../../extents.hpp"
#include "../../matrix_view.hpp"

#include <cstddef>
#include <cstdint>

// A matrix of floats in bfloat16, on a GPU, written against a block policy as assign_kernel.hpp is.

namespace sdlora::detail {

/// Each value rounded once. A thread takes a few, which lie a block's width apart.
struct RoundKernel {
  static constexpr int threads = 256;
  static constexpr int per_thread = 4;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  struct Arguments {
    MatrixView<BFloat16> to;
    MatrixView<const float> from;
  };

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t each = threads * per_thread;
    return rows * ceil_div(columns, each);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    constexpr std::int64_t each = threads * per_thread;
    const auto columns = static_cast<std::int64_t>(x.to.cols);
    const std::int64_t across = ceil_div(columns, each);
    const auto row = static_cast<std::size_t>(block.index() / across);
    const std::int64_t first = block.index() % across * each + block.thread();
    for (int k = 0; k < per_thread; ++k) {
      const std::int64_t j = first + k * threads;
      if (j < columns) {
        x.to(row, static_cast<std::size_t>(j)) = BFloat16(x.from(row, static_cast<std::size_t>(j)));
      }
    }
  }
};

/// to = from, by one kernel, for matrices of the same shape.
template <class Launcher>
void run_round(Launcher& launcher, MatrixView<BFloat16> to, MatrixView<const float> from) {
  const std::int64_t blocks =
      RoundKernel::blocks(static_cast<std::int64_t>(to.rows), static_cast<std::int64_t>(to.cols));
  launcher.template run<RoundKernel>(blocks, RoundKernel::shared_floats, {to, from});
}

}  // namespace sdlora::detail
