#pragma once

#include "../../tensor/frozen_weight.hpp"
#include "../../tensor/matmul.hpp"
#include "../../tensor/workspace.hpp"

#include <algorithm>
#include <cstddef>

namespace sdlora::detail {

/// Logits held at once: 8 Mi values, so that memory does not grow with the batch.
inline constexpr std::size_t head_values = std::size_t{1} << 23;

inline std::size_t head_rows(std::size_t vocabulary, std::size_t rows) {
  return std::min(rows, std::max<std::size_t>(16, head_values / std::max<std::size_t>(1, vocabulary)));
}

/// Forms the logits h·Wᵀ in `room` (block, V), as many rows of h (n, d) at a time as that has, and calls
/// `loss(first, logits)` for them, which returns their gradient. From that follow d_h (n, d), which is
/// overwritten, and d_W (V, d), which is added to, unless they are empty; d_W goes only with d_h. `beside` is
/// as in head_cross_entropy.
template <class T, class D, class Beside, class Function>
void for_head_blocks(MatrixView<const T, D> h, const FrozenWeight<T, D>& W, MatrixView<T, D> room,
                     MatrixView<T, D> d_h, MatrixView<T, D> d_W, WorkspaceOn<D>& workspace,
                     const Beside& beside, const Function& loss) {
  for (std::size_t first = 0; first < h.rows; first += room.rows) {
    const std::size_t count = std::min(room.rows, h.rows - first);
    const MatrixView<T, D> logits = room.rows_from(0, count);  // (count, V)
    const MatrixView<const T, D> rows = h.rows_from(first, count);
    matmul(logits, rows, transposed(W));
    beside.forward(rows, logits, workspace);
    const MatrixView<const T, D> d_logits = loss(first, logits);
    if (d_h) {
      matmul(d_h.rows_from(first, count), d_logits, W);
      beside.backward(rows, d_logits, d_h.rows_from(first, count), workspace);
    }
    if (d_W) matmul(d_W, transposed(d_logits), rows, Write::Add);
  }
}

}  // namespace sdlora::detail
