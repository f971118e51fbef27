#pragma once

#include "../error.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/frozen_weight.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/workspace.hpp"
#include "batch.hpp"
#include "cross_entropy.hpp"
#include "detail/head_blocks.hpp"
#include "loss.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace sdlora {

/// The tokens whose logits a loss of one's own is given: those of a batch with a label to learn, or a block
/// of them.
template <class D = Cpu>
struct LossRows {
  const Batch* batch = nullptr;
  std::size_t first = 0;                          ///< how many of the batch's come before these
  std::span<const std::size_t> rows = {};         ///< (n), where they are among the batch's tokens
  std::span<const std::int32_t> targets = {};     ///< (n), the labels: the ids that follow them
  MatrixView<const std::int32_t, D> on_device{};  ///< (1, n), the labels in the memory of the device

  std::size_t size() const { return rows.size(); }
  LossRows block(std::size_t begin, std::size_t count) const {
    return {batch, first + begin, rows.subspan(begin, count), targets.subspan(begin, count),
            on_device.cols_from(begin, count)};
  }
};

/// A loss of one's own on logits: `loss(rows, logits, d_logits)` returns its sum over these rows, with the
/// number of predictions in it, and writes the gradient of the sum by the logits to all of d_logits. Both are
/// (n, V), in the memory of the device. Where no gradient is wanted d_logits is empty, and is left alone.
/// Rows come a block at a time, so that no logits of all rows exist, unless it has a constant
/// `static constexpr bool all_rows = true`: then all come at once.
template <class L, class T, class D = Cpu>
concept HeadLoss =
    requires(L& loss, const LossRows<D>& rows, MatrixView<const T, D> logits, MatrixView<T, D> d_logits) {
      { loss(rows, logits, d_logits) } -> std::same_as<Loss>;
    };

/// Makes of a function a loss that is given all rows at once, as a loss of whole sequences needs them:
/// AllRows{[&](const LossRows<>& rows, auto logits, auto d_logits) { … }}.
template <class Function>
struct AllRows : Function {
  static constexpr bool all_rows = true;
  using Function::operator();
};
/// AllRows{function}.
template <class Function>
AllRows(Function) -> AllRows<Function>;

/// A head of one's own on hidden states: `head(h, d_h)` of h (n, d) returns its loss and writes the gradient
/// by h to all of d_h, both in the memory of the device. What it learns itself is its own affair.
template <class Head, class T, class D = Cpu>
concept HiddenHead = requires(Head& head, MatrixView<const T, D> h, MatrixView<T, D> d_h) {
  { head(h, d_h) } -> std::same_as<Loss>;
};

namespace detail {
template <class L>
inline constexpr bool wants_all_rows = [] {
  if constexpr (requires { L::all_rows; }) {
    return bool(L::all_rows);
  } else {
    return false;
  }
}();
}  // namespace detail

/// Whether one gives a loss of one's own, well made or not, and no number.
template <class L>
concept GivenAsLoss = !std::is_arithmetic_v<std::remove_cvref_t<L>>;

inline namespace SDLORA_SIMD_TAG {

/// A loss of one's own of a linear head without bias, as head_cross_entropy is the usual one: logits = h·Wᵀ,
/// h (n, d), W (V, d), `rows` about the n rows. With a non-empty d_h (n, d) it is overwritten by the gradient
/// of scale · Σ loss, and that of W is added to d_W (V, d), unless empty. Throws ShapeError.
template <class T, class D, class L, class Beside = PlainHead>
  requires HeadLoss<L, T, D>
Loss head_loss(std::type_identity_t<MatrixView<const T, D>> h, const FrozenWeight<T, D>& W,
               const LossRows<D>& rows, L& loss, std::type_identity_t<T> scale,
               std::type_identity_t<MatrixView<T, D>> d_h, std::type_identity_t<MatrixView<T, D>> d_W,
               WorkspaceOn<D>& workspace, const Beside& beside = {}) {
  if (rows.size() != h.rows || (d_h && d_h.rows != h.rows) || (d_W && !d_h)) {
    throw ShapeError("head_loss: expected h and d_h with a row for each of " + std::to_string(rows.size()) +
                     " targets, and d_W only with d_h, found h " + detail::extents_text(h.rows, h.cols) +
                     " and d_h " + detail::extents_text(d_h.rows, d_h.cols));
  }
  const WorkspaceScope scope(workspace);
  const std::size_t V = W.rows;
  const std::size_t block = detail::wants_all_rows<L> ? h.rows : detail::head_rows(V, h.rows);
  const MatrixView<T, D> room = workspace.template matrix<T>(block, V);
  const MatrixView<T, D> d_room = d_h ? workspace.template matrix<T>(block, V) : MatrixView<T, D>{};
  Loss sum;
  detail::for_head_blocks<T, D>(
      h, W, room, d_h, d_W, workspace, beside, [&](std::size_t first, MatrixView<T, D> logits) {
        const MatrixView<T, D> d_logits = d_h ? d_room.rows_from(0, logits.rows) : MatrixView<T, D>{};
        const Loss found = loss(rows.block(first, logits.rows), MatrixView<const T, D>(logits), d_logits);
        sum.sum += found.sum;
        sum.count += found.count;
        if (d_logits && scale != T(1)) assign<AssignMode::Multiply>(d_logits, scale);
        return MatrixView<const T, D>(d_logits);
      });
  return sum;
}

}  // namespace SDLORA_SIMD_TAG

}  // namespace sdlora
