#pragma once

#include "../error.hpp"
#include "../tensor/frozen_weight.hpp"
#include "../tensor/matmul.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"
#include "detail/cross_entropy_kernels.hpp"
#include "detail/head_blocks.hpp"
#include "loss.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

namespace detail {

inline namespace SDLORA_SIMD_TAG {

/// log Σ exp of a row.
template <class T>
T log_sum_exp(const T* x, std::size_t count) {
  constexpr std::size_t width = simd_width<T>;
  T top = x[0];
  std::size_t j = 0;
  if (count >= width) {
    Simd<T> best = Simd<T>::load_unaligned(x);
    for (j = width; j + width <= count; j += width) best = xsimd::max(best, Simd<T>::load_unaligned(x + j));
    alignas(alignment) T lanes[width];
    best.store_aligned(lanes);
    for (const T lane : lanes) top = std::max(top, lane);
  }
  for (; j < count; ++j) top = std::max(top, x[j]);
  // In blocks, so that the last terms of a large vocabulary do not vanish beside the sum of the first.
  constexpr std::size_t block = 64 * width;
  double sum = 0.0;
  for (j = 0; j + width <= count;) {
    Simd<T> sums(T(0));
    for (const std::size_t end = std::min(count, j + block); j + width <= end; j += width) {
      sums += exp(Simd<T>::load_unaligned(x + j) - Simd<T>(top));
    }
    sum += static_cast<double>(xsimd::hadd(sums));
  }
  for (; j < count; ++j) sum += static_cast<double>(exp(x[j] - top));
  return static_cast<T>(static_cast<double>(top) + std::log(sum));
}

/// x = scale · exp(x − shift).
template <class T>
void scaled_exp(T* x, std::size_t count, T shift, T scale) {
  constexpr std::size_t width = simd_width<T>;
  std::size_t j = 0;
  for (; j + width <= count; j += width) {
    (Simd<T>(scale) * exp(Simd<T>::load_unaligned(x + j) - Simd<T>(shift))).store_unaligned(x + j);
  }
  for (; j < count; ++j) x[j] = scale * exp(x[j] - shift);
}

}  // namespace SDLORA_SIMD_TAG

inline void require_targets(std::span<const std::int32_t> targets, std::size_t rows, std::size_t vocabulary) {
  if (targets.size() != rows) {
    throw ShapeError("head_cross_entropy: expected a target for each of " + std::to_string(rows) +
                     " rows, found " + std::to_string(targets.size()) + "; leave rows without a target out");
  }
  for (std::size_t i = 0; i < rows; ++i) {
    if (targets[i] < 0 || static_cast<std::size_t>(targets[i]) >= vocabulary) {
      throw ArgumentError("head_cross_entropy: target " + std::to_string(i) + " is " +
                          std::to_string(targets[i]) + ", expected 0 to " + std::to_string(vocabulary - 1) +
                          "; leave rows without a target out");
    }
  }
}
}  // namespace detail

namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// losses[i] = −log softmax(logits(i, :))[targets[i]]; with `gradient` the logits become scale · (softmax − 1
/// at the target).
template <class T, class D>
void cross_entropy_rows(MatrixView<T, D> logits, MatrixView<const std::int32_t, D> targets,
                        MatrixView<T, D> losses, bool gradient, T scale) {
  if constexpr (is_host<D>) {
    parallel_for((logits.rows + 15) / 16, [&](std::size_t task) {
      for (std::size_t i = task * 16; i < std::min(logits.rows, task * 16 + 16); ++i) {
        const auto target = static_cast<std::size_t>(targets(0, i));
        const T total = log_sum_exp(logits.row(i), logits.cols);
        losses(0, i) = total - logits(i, target);
        if (gradient) {
          scaled_exp(logits.row(i), logits.cols, total, scale);
          logits(i, target) -= scale;
        }
      }
    });
  } else {
    Launcher<D> launcher("cross-entropy");
    run_cross_entropy(launcher, logits.bare(), targets.data, losses.data, gradient, scale);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

/// A head that is one product.
struct PlainHead {
  template <class T, class D>
  void forward(MatrixView<const T, D>, MatrixView<T, D>, WorkspaceOn<D>&) const {}
  template <class T, class D>
  void backward(MatrixView<const T, D>, MatrixView<const T, D>, MatrixView<T, D>, WorkspaceOn<D>&) const {}
};

inline namespace SDLORA_SIMD_TAG {

/// Cross-entropy of a linear head without bias: logits = h·Wᵀ for the rows that have a target only,
/// a block of rows at a time. h (n, d), W (V, d), targets (n), in host memory. With a non-empty d_h (n, d) it
/// is overwritten by the gradient of scale · Σ loss, and that of W (V, d) is added to d_W, unless
/// empty; that goes only with d_h. `beside` adds to the logits of some rows of h, and in backward to their
/// d_h, as an adapter of the head does. Throws ShapeError, and ArgumentError for a target outside of W's
/// rows.
template <class T, class D, class Beside = PlainHead>
Loss head_cross_entropy(std::type_identity_t<MatrixView<const T, D>> h, const FrozenWeight<T, D>& W,
                        std::span<const std::int32_t> targets, std::type_identity_t<T> scale,
                        std::type_identity_t<MatrixView<T, D>> d_h,
                        std::type_identity_t<MatrixView<T, D>> d_W, WorkspaceOn<D>& workspace,
                        const Beside& beside = {}) {
  const std::size_t V = W.rows;
  detail::require_targets(targets, h.rows, V);
  if (d_W && !d_h) {
    throw ShapeError("head_cross_entropy: expected d_h " + detail::extents_text(h.rows, h.cols) +
                     " with d_W, found d_W alone; give both or neither");
  }
  const WorkspaceScope scope(workspace);
  const std::size_t block = detail::head_rows(V, h.rows);
  const MatrixView<T, D> room = workspace.template matrix<T>(block, V);
  const MatrixView<T, D> losses = workspace.template matrix<T>(1, h.rows);
  const MatrixView<const std::int32_t, D> targets_there = workspace.placed(targets);
  detail::for_head_blocks<T, D>(
      h, W, room, d_h, d_W, workspace, beside, [&](std::size_t first, MatrixView<T, D> logits) {
        detail::cross_entropy_rows<T, D>(logits, targets_there.cols_from(first, logits.rows),
                                         losses.cols_from(first, logits.rows), static_cast<bool>(d_h), scale);
        return MatrixView<const T, D>(logits);
      });
  Loss loss{0.0, h.rows};
  const WorkspaceScope on_host(workspace.host());
  const std::span<T> found = workspace.host().template take<T>(h.rows);
  Storage<T, D>::read(found.data(), losses.data, h.rows);
  for (const T one : found) loss.sum += static_cast<double>(one);
  return loss;
}
/// The same for a head of plain numbers.
template <class T, class D, class Beside = PlainHead>
Loss head_cross_entropy(std::type_identity_t<MatrixView<const T, D>> h, MatrixView<const T, D> W,
                        std::span<const std::int32_t> targets, std::type_identity_t<T> scale,
                        std::type_identity_t<MatrixView<T, D>> d_h,
                        std::type_identity_t<MatrixView<T, D>> d_W, WorkspaceOn<D>& workspace,
                        const Beside& beside = {}) {
  return head_cross_entropy(h, FrozenWeight<T, D>(W), targets, scale, d_h, d_W, workspace, beside);
}

}  // namespace SDLORA_SIMD_TAG

}  // namespace sdlora
