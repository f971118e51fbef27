#pragma once

#include "../error.hpp"
#include "../tensor/matmul.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"

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

/// Logits held at once: 8 Mi values, so that memory does not grow with the batch.
inline constexpr std::size_t head_values = std::size_t{1} << 23;

inline std::size_t head_rows(std::size_t vocabulary, std::size_t rows) {
  return std::min(rows, std::max<std::size_t>(16, head_values / std::max<std::size_t>(1, vocabulary)));
}

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

inline namespace SDLORA_SIMD_TAG {

/// Cross-entropy of a linear head without bias: logits = h·Wᵀ for the rows that have a target only,
/// a block of rows at a time. h (n, d), W (V, d), targets (n). With a non-empty d_h (n, d) it is
/// overwritten by the gradient of scale · Σ loss, and that of W (V, d) is added to d_W, unless
/// empty; that goes only with d_h. Throws ShapeError, and ArgumentError for a target outside of W's rows.
template <class T>
Loss head_cross_entropy(std::type_identity_t<MatrixView<const T>> h, MatrixView<const T> W,
                        std::span<const std::int32_t> targets, std::type_identity_t<T> scale,
                        std::type_identity_t<MatrixView<T>> d_h, std::type_identity_t<MatrixView<T>> d_W,
                        Workspace& workspace) {
  const std::size_t V = W.rows;
  detail::require_targets(targets, h.rows, V);
  if (d_W && !d_h) {
    throw ShapeError("head_cross_entropy: expected d_h " + detail::extents_text(h.rows, h.cols) +
                     " with d_W, found d_W alone; give both or neither");
  }
  const Workspace::Scope scope(workspace);
  const std::size_t block = detail::head_rows(V, h.rows);
  const MatrixView<T> room = workspace.matrix<T>(block, V);
  T* losses = workspace.take<T>(h.rows).data();
  for (std::size_t first = 0; first < h.rows; first += block) {
    const std::size_t count = std::min(block, h.rows - first);
    const MatrixView<T> logits = room.rows_from(0, count);  // (count, V)
    matmul(logits, h.rows_from(first, count), transposed(W));
    parallel_for((count + 15) / 16, [&](std::size_t task) {
      for (std::size_t i = task * 16; i < std::min(count, task * 16 + 16); ++i) {
        const auto target = static_cast<std::size_t>(targets[first + i]);
        const T total = detail::log_sum_exp(logits.row(i), V);
        losses[first + i] = total - logits(i, target);
        if (d_h) {
          detail::scaled_exp(logits.row(i), V, total, scale);
          logits(i, target) -= scale;
        }
      }
    });
    if (d_h) matmul(d_h.rows_from(first, count), logits, W);
    if (d_W) matmul(d_W, transposed(logits), h.rows_from(first, count), Write::Add);
  }
  Loss loss{0.0, h.rows};
  for (std::size_t i = 0; i < h.rows; ++i) loss.sum += static_cast<double>(losses[i]);
  return loss;
}

}  // namespace SDLORA_SIMD_TAG

}  // namespace sdlora
