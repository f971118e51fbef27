#pragma once

#include "../../bfloat16.hpp"
#include "../../extents.hpp"
#include "../../matrix_view.hpp"
#include "../../write.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

// The matrix product on a GPU, written against a block policy as assign_kernel.hpp is. A block computes a
// tile of out, and goes through the inner extent in steps whose parts of both operands lie in shared memory.

namespace sdlora::detail {

/// Operands have rows, cols and elements (row, column) that read as floats.
template <class A, class B>
struct MatmulArgumentsOf {
  MatrixView<float> out;
  A a;
  B b;
  std::int64_t inner;
  float scale;
};
using MatmulArguments = MatmulArgumentsOf<MatrixView<const float>, MatrixView<const float>>;

/// An operand whose values are rounded to bfloat16 where they are read.
struct RoundedMatrix {
  MatrixView<const float> of;
  std::size_t rows;
  std::size_t cols;

  constexpr RoundedMatrix() = default;
  constexpr explicit RoundedMatrix(MatrixView<const float> matrix)
      : of(matrix), rows(matrix.rows), cols(matrix.cols) {}
  constexpr float operator()(std::size_t row, std::size_t column) const {
    return static_cast<float>(BFloat16(of(row, column)));
  }
};

/// A part of an operand: `Outer` places along its extent that out has too, `inner` along the other. Each
/// thread moves some of its values from memory to shared memory, by way of registers.
template <bool InnerIsRow, int Outer>
struct MatmulPart {
  static constexpr int threads = 256;
  static constexpr int per_thread = 4;
  static constexpr int inner = threads * per_thread / Outer;
  static constexpr int stride = Outer + 4;  // vectors stay aligned, and fewer stores meet in a bank
  static constexpr int floats = inner * stride;
  // Neighbouring threads read neighbouring values.
  static constexpr int along = InnerIsRow ? inner : Outer;
  static constexpr int rows_at_once = threads / along;

  float values[per_thread];

  /// Zeros where the operand ends before the part does.
  template <class Operand>
  constexpr void load(const Operand& x, std::int64_t first_outer, std::int64_t first_inner, int thread) {
    const auto rows = static_cast<std::int64_t>(x.rows);
    const auto columns = static_cast<std::int64_t>(x.cols);
    const std::int64_t column = (InnerIsRow ? first_inner : first_outer) + thread % along;
    const std::int64_t first_row = (InnerIsRow ? first_outer : first_inner) + thread / along;
    for (int p = 0; p < per_thread; ++p) {
      const std::int64_t row = first_row + p * rows_at_once;
      const bool there = row < rows && column < columns;
      values[p] = there ? x(static_cast<std::size_t>(row), static_cast<std::size_t>(column)) : 0.0F;
    }
  }

  /// As (inner, Outer).
  template <class Shared>
  constexpr void store(Shared shared, int thread) const {
    const int column = thread % along;
    for (int p = 0; p < per_thread; ++p) {
      const int row = thread / along + p * rows_at_once;
      shared.store(InnerIsRow ? column * stride + row : row * stride + column, values[p]);
    }
  }
};

/// out = scale · op(a) · op(b), or out += that. A thread computes Quads × Quads groups of 4 × 4 values that
/// lie 64 apart. The order of additions is that of the inner extent, whatever Quads is.
template <bool TransposeA, bool TransposeB, Write How, int Quads, class A = MatrixView<const float>,
          class B = MatrixView<const float>>
struct MatmulKernel {
  static constexpr int quad = 4;
  static constexpr int apart = 64;
  static constexpr int tile = apart * Quads;
  static constexpr int side = quad * Quads;
  using PartOfA = MatmulPart<!TransposeA, tile>;
  using PartOfB = MatmulPart<TransposeB, tile>;
  static constexpr int threads = PartOfA::threads;
  static constexpr int step = PartOfA::inner;
  static constexpr int resident_blocks = 2;
  static constexpr std::size_t shared_floats = PartOfA::floats + PartOfB::floats;
  static_assert(threads * side * side == tile * tile);
  using Arguments = MatmulArgumentsOf<A, B>;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    return ceil_div(rows, tile) * ceil_div(columns, tile);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t across = ceil_div(static_cast<std::int64_t>(x.out.cols), tile);
    const std::int64_t first_row = block.index() / across * tile;
    const std::int64_t first_column = block.index() % across * tile;
    const int thread = block.thread();
    const int i0 = thread / (apart / quad) * quad;
    const int j0 = thread % (apart / quad) * quad;
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
        for (int q = 0; q < Quads; ++q) {
          shared_a.template load_vector<quad>(t * PartOfA::stride + q * apart + i0, left + q * quad);
          shared_b.template load_vector<quad>(t * PartOfB::stride + q * apart + j0, right + q * quad);
        }
        for (int i = 0; i < side; ++i) {
          for (int j = 0; j < side; ++j) sums[i][j] += left[i] * right[j];
        }
      }
      block.sync();
    }
    for (int i = 0; i < side; ++i) {
      const auto row = static_cast<std::size_t>(first_row + i / quad * apart + i0 + i % quad);
      for (int j = 0; j < side; ++j) {
        const auto column = static_cast<std::size_t>(first_column + j / quad * apart + j0 + j % quad);
        if (row >= x.out.rows || column >= x.out.cols) continue;
        float& out = x.out(row, column);
        if constexpr (How == Write::Add) {
          out += x.scale * sums[i][j];
        } else {
          out = x.scale * sums[i][j];
        }
      }
    }
  }
};

/// The product by tiles of 64 · Quads rows and columns.
template <bool TransposeA, bool TransposeB, int Quads, class Launcher, class A, class B>
void run_matmul_tiles(Launcher& launcher, const MatmulArgumentsOf<A, B>& arguments, Write write) {
  const auto launch = [&]<class Kernel>(std::type_identity<Kernel>) {
    const std::int64_t blocks = Kernel::blocks(static_cast<std::int64_t>(arguments.out.rows),
                                               static_cast<std::int64_t>(arguments.out.cols));
    launcher.template run<Kernel>(blocks, Kernel::shared_floats, arguments);
  };
  if (write == Write::Add) {
    launch(std::type_identity<MatmulKernel<TransposeA, TransposeB, Write::Add, Quads, A, B>>{});
  } else {
    launch(std::type_identity<MatmulKernel<TransposeA, TransposeB, Write::Overwrite, Quads, A, B>>{});
  }
}

/// out = scale · op(a) · op(b), or out += that, by one kernel. The shapes must fit, and out may share no
/// memory with the operands.
template <bool TransposeA, bool TransposeB, class Launcher, class A, class B>
void run_matmul(Launcher& launcher, MatrixView<float> out, const A& a, const B& b, Write write, float scale) {
  const std::size_t inner = TransposeA ? a.rows : a.cols;
  if (out.rows == 0 || out.cols == 0) return;
  if (inner == 0) {
    if (write == Write::Add) return;
    scale = 1.0F;  // zeros, whatever the scale
  }
  const MatmulArgumentsOf<A, B> arguments{out, a, b, static_cast<std::int64_t>(inner), scale};
  // Large tiles read less, small ones keep more multiprocessors at work.
  constexpr std::size_t large = 128;
  constexpr std::size_t enough = 128;
  if (ceil_div(out.rows, large) * ceil_div(out.cols, large) >= enough) {
    run_matmul_tiles<TransposeA, TransposeB, 2>(launcher, arguments, write);
  } else {
    run_matmul_tiles<TransposeA, TransposeB, 1>(launcher, arguments, write);
  }
}

}  // namespace sdlora::detail
