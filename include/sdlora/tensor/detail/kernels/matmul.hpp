#pragma once

#include "../../extents.hpp"
#include "../../matrix_view.hpp"
#include "../../write.hpp"

#include <cstddef>
#include <cstdint>

// The matrix product on a GPU, written against a block policy as assign_kernel.hpp is. A block computes a
// tile of out, and goes through the inner extent in steps whose parts of both operands lie in shared memory.

namespace sdlora::detail {

struct MatmulArguments {
  MatrixView<float> out;
  MatrixView<const float> a;
  MatrixView<const float> b;
  std::int64_t inner;
  float scale;
};

/// A part of an operand: `outer` places along its extent that out has too, `inner` along the other. Each
/// thread moves some of its values from memory to shared memory, by way of registers.
template <bool InnerIsRow>
struct MatmulPart {
  static constexpr int threads = 256;
  static constexpr int outer = 64;
  static constexpr int inner = 16;
  static constexpr int stride = outer + 4;  // vectors stay aligned, and fewer stores meet in a bank
  static constexpr int floats = inner * stride;
  static constexpr int per_thread = outer * inner / threads;
  // Neighbouring threads read neighbouring values.
  static constexpr int across = InnerIsRow ? outer : inner;
  static constexpr int along = InnerIsRow ? inner : outer;

  float values[per_thread];

  /// Zeros where the operand ends before the part does.
  constexpr void load(const MatrixView<const float>& x, std::int64_t first_outer, std::int64_t first_inner,
                      int thread) {
    const std::int64_t column = (InnerIsRow ? first_inner : first_outer) + thread % along;
    const std::int64_t first_row = InnerIsRow ? first_outer : first_inner;
    for (int p = 0; p < per_thread; ++p) {
      const std::int64_t row = first_row + thread / along + p * (across / per_thread);
      const bool there =
          row < static_cast<std::int64_t>(x.rows) && column < static_cast<std::int64_t>(x.cols);
      values[p] = there ? x(static_cast<std::size_t>(row), static_cast<std::size_t>(column)) : 0.0F;
    }
  }

  /// As (inner, outer).
  template <class Shared>
  constexpr void store(Shared shared, int thread) const {
    for (int p = 0; p < per_thread; ++p) {
      const int column = thread % along;
      const int row = thread / along + p * (across / per_thread);
      shared.store(InnerIsRow ? column * stride + row : row * stride + column, values[p]);
    }
  }
};

/// out = scale · op(a) · op(b), or out += that. The order of additions is that of the inner extent.
template <bool TransposeA, bool TransposeB, Write How>
struct MatmulKernel {
  using PartOfA = MatmulPart<!TransposeA>;
  using PartOfB = MatmulPart<TransposeB>;
  static constexpr int threads = PartOfA::threads;
  static constexpr int tile = PartOfA::outer;
  static constexpr int step = PartOfA::inner;
  static constexpr int side = 4;  // of the values of out that a thread computes
  static constexpr int resident_blocks = 2;
  static constexpr std::size_t shared_floats = PartOfA::floats + PartOfB::floats;
  static_assert(threads * side * side == tile * tile);
  using Arguments = MatmulArguments;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    return ceil_div(rows, tile) * ceil_div(columns, tile);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const auto rows = static_cast<std::int64_t>(x.out.rows);
    const auto columns = static_cast<std::int64_t>(x.out.cols);
    const std::int64_t across = ceil_div(columns, tile);
    const std::int64_t first_row = block.index() / across * tile;
    const std::int64_t first_column = block.index() % across * tile;
    const int thread = block.thread();
    const int i0 = thread / (tile / side) * side;
    const int j0 = thread % (tile / side) * side;
    const auto shared_a = block.shared();
    const auto shared_b = shared_a.from(PartOfA::floats);
    PartOfA a{};
    PartOfB b{};
    a.load(x.a, first_row, 0, thread);
    b.load(x.b, first_column, 0, thread);
    float sums[side][side] = {};
    for (std::int64_t k = 0; k < x.inner; k += step) {
      a.store(shared_a, thread);
      b.store(shared_b, thread);
      block.sync();
      // The next step's values are on their way while this one is computed.
      if (k + step < x.inner) {
        a.load(x.a, first_row, k + step, thread);
        b.load(x.b, first_column, k + step, thread);
      }
      for (int t = 0; t < step; ++t) {
        float left[side] = {};
        float right[side] = {};
        shared_a.template load_vector<side>(t * PartOfA::stride + i0, left);
        shared_b.template load_vector<side>(t * PartOfB::stride + j0, right);
        for (int i = 0; i < side; ++i) {
          for (int j = 0; j < side; ++j) sums[i][j] += left[i] * right[j];
        }
      }
      block.sync();
    }
    for (int i = 0; i < side; ++i) {
      const std::int64_t row = first_row + i0 + i;
      if (row >= rows) break;
      for (int j = 0; j < side; ++j) {
        const std::int64_t column = first_column + j0 + j;
        if (column >= columns) break;
        float& out = x.out(static_cast<std::size_t>(row), static_cast<std::size_t>(column));
        if constexpr (How == Write::Add) {
          out += x.scale * sums[i][j];
        } else {
          out = x.scale * sums[i][j];
        }
      }
    }
  }
};

/// out = scale · op(a) · op(b), or out += that, by one kernel. The shapes must fit, and out may share no
/// memory with the operands.
template <bool TransposeA, bool TransposeB, class Launcher>
void run_matmul(Launcher& launcher, MatrixView<float> out, MatrixView<const float> a,
                MatrixView<const float> b, Write write, float scale) {
  const std::size_t inner = TransposeA ? a.rows : a.cols;
  if (out.rows == 0 || out.cols == 0) return;
  if (inner == 0) {
    if (write == Write::Add) return;
    scale = 1.0F;  // zeros, whatever the scale
  }
  const MatmulArguments arguments{out, a, b, static_cast<std::int64_t>(inner), scale};
  const auto launch = [&]<Write How>() {
    using Kernel = MatmulKernel<TransposeA, TransposeB, How>;
    launcher.template run<Kernel>(
        Kernel::blocks(static_cast<std::int64_t>(out.rows), static_cast<std::int64_t>(out.cols)),
        Kernel::shared_floats, arguments);
  };
  if (write == Write::Add) {
    launch.template operator()<Write::Add>();
  } else {
    launch.template operator()<Write::Overwrite>();
  }
}

}  // namespace sdlora::detail
