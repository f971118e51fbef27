#pragma once

#include "../alignment.hpp"
#include "../extents.hpp"
#include "../matrix_view.hpp"
#include "../parallel.hpp"
#include "../simd.hpp"
#include "../workspace.hpp"
#include "../write.hpp"
#include "stored_values.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace sdlora::detail {

/// Rows of activations, as generation has them, up to which reading the weight in place is faster than
/// copying panels of it. Each four rows read it again, and int8 takes longer to read.
template <class Stored>
inline constexpr std::size_t few_rows = std::is_same_v<Stored, std::int8_t> ? 4 : 8;

inline namespace SDLORA_SIMD_TAG {

/// One lane after another.
inline float lanes_added(Simd<float> batch) {
  alignas(alignment) float lanes[Simd<float>::size];
  batch.store_aligned(lanes);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

/// x · Wᵀ for `Rows` rows of x, (Rows, inner) with zeros up to `padded`: each row of W is read once, in
/// pieces that stay in the first cache.
template <bool Rounded, std::size_t Rows, class Bytes>
void multiply_rows(MatrixView<float> out, MatrixView<const float> x, std::size_t inner, const Bytes& weight,
                   std::size_t first, std::size_t count, Write write, float scale) {
  using V = Simd<float>;
  constexpr std::size_t piece = 512, chains = 4 / Rows < 1 ? 1 : 4 / Rows, step = chains * V::size;
  static_assert(piece % step == 0);
  alignas(alignment) float values[piece];
  for (std::size_t n = first; n < first + count; ++n) {
    [&]<std::size_t... I>(std::index_sequence<I...>) SDLORA_INLINED {
      // Sum I is of row I / chains; by constant places, so that all of them stay in registers.
      V sums[sizeof...(I)] = {(static_cast<void>(I), V(0.0F))...};
      for (std::size_t k = 0; k < inner; k += piece) {
        const std::size_t here = std::min(piece, inner - k), whole = round_up(here, step);
        weight.template read<Rounded>(n, k, here, values);
        std::fill(values + here, values + whole, 0.0F);
        for (std::size_t j = 0; j < whole; j += step) {
          ((sums[I] = fused_multiply_add(V::load_aligned(x.row(I / chains) + k + j + I % chains * V::size),
                                         V::load_aligned(values + j + I % chains * V::size), sums[I])),
           ...);
        }
      }
      float rows[Rows] = {};
      ((rows[I / chains] += lanes_added(sums[I])), ...);
      for (std::size_t m = 0; m < Rows; ++m) {
        float& to = out(m, n);
        to = write == Write::Add ? to + scale * rows[m] : scale * rows[m];
      }
    }(std::make_index_sequence<Rows * chains>{});
  }
}

/// out (M, N) = scale · x · Wᵀ, or out += that.
template <bool Rounded, class Bytes>
void multiply_few_rows(MatrixView<float> out, MatrixView<const float> x, const Bytes& weight, Write write,
                       float scale) {
  constexpr std::size_t block = 64;
  Workspace& workspace = thread_workspace();
  const Workspace::Scope scope(workspace);
  const std::size_t padded = round_up(x.cols, 4 * Simd<float>::size);
  const MatrixView<float> left = workspace.matrix<float>(x.rows, padded);
  for (std::size_t i = 0; i < x.rows; ++i) {
    if constexpr (Rounded) {
      round_row(left.row(i), x.row(i), x.cols);
    } else {
      std::copy_n(x.row(i), x.cols, left.row(i));
    }
    std::fill(left.row(i) + x.cols, left.row(i) + padded, 0.0F);
  }
  parallel_for(ceil_div(out.cols, block), [&](std::size_t task) {
    const std::size_t first = task * block, count = std::min(block, out.cols - first);
    // Four rows at a time, and the rest; this part of the weight stays in a cache meanwhile.
    for (std::size_t row = 0; row < x.rows; row += 4) {
      const std::size_t rows = std::min<std::size_t>(4, x.rows - row);
      const auto multiply = [&]<std::size_t Rows>(std::integral_constant<std::size_t, Rows>) {
        multiply_rows<Rounded, Rows>(out.rows_from(row, Rows), left.rows_from(row, Rows), x.cols, weight,
                                     first, count, write, scale);
      };
      if (rows == 1) multiply(std::integral_constant<std::size_t, 1>{});
      if (rows == 2) multiply(std::integral_constant<std::size_t, 2>{});
      if (rows == 3) multiply(std::integral_constant<std::size_t, 3>{});
      if (rows == 4) multiply(std::integral_constant<std::size_t, 4>{});
    }
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
