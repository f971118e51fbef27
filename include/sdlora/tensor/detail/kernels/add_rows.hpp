#pragma once

#include "../../extents.hpp"
#include "../../matrix_view.hpp"

#include <cstddef>
#include <cstdint>

// Rows added to chosen rows of a matrix on a GPU, as an embedding's gradient is; written against a block
// policy as assign_kernel.hpp is.

namespace sdlora::detail {

struct AddRowsArguments {
  MatrixView<float> out;      // (V, C)
  MatrixView<const float> x;  // (n, C)
  const std::int32_t* ids;    // (n)
};

/// out.row(ids[i]) += x.row(i), i ascending. A thread adds to one column of every `shares`th row of out.
struct AddRowsKernel {
  static constexpr int threads = 128;
  static constexpr int shares = 32;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = AddRowsArguments;

  static constexpr std::int64_t blocks(std::int64_t columns) { return ceil_div(columns, threads) * shares; }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const auto column = static_cast<std::size_t>(block.index() / shares * threads + block.thread());
    const auto share = static_cast<std::int32_t>(block.index() % shares);
    if (column >= x.out.cols) return;
    for (std::size_t i = 0; i < x.x.rows; ++i) {
      const std::int32_t id = x.ids[i];
      if (id % shares == share) x.out(static_cast<std::size_t>(id), column) += x.x(i, column);
    }
  }
};

/// out.row(ids[i]) += x.row(i) in this order, by one kernel. out (V, C), x (n, C), ids (n), each at least 0
/// and below V; the same one may come again.
template <class Launcher>
void run_add_rows(Launcher& launcher, MatrixView<float> out, MatrixView<const float> x,
                  const std::int32_t* ids) {
  if (x.rows == 0 || x.cols == 0) return;
  launcher.template run<AddRowsKernel>(AddRowsKernel::blocks(static_cast<std::int64_t>(x.cols)),
                                       AddRowsKernel::shared_floats, AddRowsArguments{out, x, ids});
}

}  // namespace sdlora::detail
