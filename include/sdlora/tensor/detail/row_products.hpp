#pragma once

#include "../alignment.hpp"
#include "../bfloat16.hpp"
#include "../extents.hpp"
#include "../matrix_view.hpp"
#include "../parallel.hpp"
#include "../simd.hpp"
#include "../workspace.hpp"
#include "../write.hpp"
#include "stored_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#if defined(__AVX2__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

namespace sdlora::detail {

/// Rows of activations, as generation has them, up to which reading the weight in place is faster than
/// copying panels of it. Each four rows read it again; int8 whose values are rounded takes longer to read.
template <class Stored, bool Rounded>
inline constexpr std::size_t few_rows = std::is_same_v<Stored, std::int8_t> && Rounded ? 4 : 8;

inline namespace SDLORA_SIMD_TAG {

/// The sum of all lanes.
SDLORA_INLINED inline float lanes_added(Simd<float> batch) { return xsimd::hadd(batch); }

/// How a row of a weight is read as floats, a step at a time: copied as values, in pieces that stay in the
/// first cache, or for bfloat16 straight into registers.
template <bool Rounded, class Stored>
class RowReader {
 public:
  using V = Simd<float>;
  static constexpr std::size_t chains = 2, step = chains * V::size;

  RowReader(const StoredBytes<Stored>& weight, std::size_t row, std::size_t inner)
      : weight_(weight), row_(row), inner_(inner) {}

  /// Calls f(k, values[chains]) for every step, with zeros behind the end.
  template <class Function>
  SDLORA_INLINED void each(const Function& f) const {
    constexpr std::size_t piece = 512;
    static_assert(piece % step == 0);
    alignas(alignment) float values[piece];
    std::size_t done = 0;
#if defined(__GNUC__) && !defined(__CUDACC__)
    if constexpr (std::is_same_v<Stored, BFloat16>) {
      const std::byte* from = weight_.at(row_, 0);
      for (; done + step <= inner_; done += step) {
        f(done, widened_lanes(from + done * sizeof(Stored)),
          widened_lanes(from + (done + V::size) * sizeof(Stored)));
      }
    }
#endif
    while (done < inner_) {
      const std::size_t here = std::min(piece, inner_ - done), whole = round_up(here, step);
      weight_.template read<Rounded>(row_, done, here, values);
      std::fill(values + here, values + whole, 0.0F);
      for (std::size_t j = 0; j < whole; j += step) {
        f(done + j, V::load_aligned(values + j), V::load_aligned(values + j + V::size));
      }
      done += here;
    }
  }

 private:
#if defined(__GNUC__) && !defined(__CUDACC__)
  static SDLORA_INLINED V widened_lanes(const std::byte* p) {
    using Halves [[gnu::vector_size(2 * V::size)]] = std::uint16_t;
    using Words [[gnu::vector_size(4 * V::size)]] = std::uint32_t;
    Halves halves;
    std::memcpy(&halves, p, sizeof halves);
    const Words words = __builtin_convertvector(halves, Words) << 16;
    typename V::register_type result;
    std::memcpy(&result, &words, sizeof result);
    return V(result);
  }
#endif

  const StoredBytes<Stored>& weight_;
  std::size_t row_, inner_;
};

/// x · Wᵀ for `Rows` rows of x, (Rows, inner) with zeros up to a whole step: each row of W is read once. A
/// row of x gives the same bits for any `Rows`.
template <bool Rounded, std::size_t Rows, class Stored>
void multiply_rows(MatrixView<float> out, MatrixView<const float> x, std::size_t inner,
                   const StoredBytes<Stored>& weight, std::size_t first, std::size_t count, Write write,
                   float scale) {
  using V = Simd<float>;
  for (std::size_t n = first; n < first + count; ++n) {
    [&]<std::size_t... I>(std::index_sequence<I...>) SDLORA_INLINED {
      // By constant places, so that all of them stay in registers.
      V even[Rows] = {(static_cast<void>(I), V(0.0F))...}, odd[Rows] = {(static_cast<void>(I), V(0.0F))...};
      RowReader<Rounded, Stored>(weight, n, inner)
          .each([&](std::size_t k, const V& a, const V& b) SDLORA_INLINED {
            ((even[I] = fused_multiply_add(V::load_aligned(x.row(I) + k), a, even[I])), ...);
            ((odd[I] = fused_multiply_add(V::load_aligned(x.row(I) + k + V::size), b, odd[I])), ...);
          });
      const auto put = [&](std::size_t m, float sum) {
        float& to = out(m, n);
        to = write == Write::Add ? to + scale * sum : scale * sum;
      };
      (put(I, lanes_added(even[I] + odd[I])), ...);
    }(std::make_index_sequence<Rows>{});
  }
}

/// Activations as integers of 16 bits with a scale a row, its largest absolute value divided by 32767. Where
/// one is no number or infinite, the scale is no number; rows below 1e-34 are zeros.
inline float round_to_integers(std::int16_t* to, const float* from, std::size_t count) {
  float largest = 0.0F, check = 0.0F;
  for (std::size_t j = 0; j < count; ++j) {
    largest = std::max(largest, std::abs(from[j]));
    check += from[j] * 0.0F;  // no number where one is not finite
  }
  const float by = 32767.0F / largest;
  if (std::isnan(check) || !std::isfinite(by)) {
    std::fill_n(to, count, std::int16_t{0});
    return std::isnan(check) ? check : 0.0F;
  }
  constexpr float shift = 0x1.8p23F;  // added and taken away, it rounds to a whole number
  for (std::size_t j = 0; j < count; ++j) {
    const float level = std::clamp((from[j] * by + shift) - shift, -32767.0F, 32767.0F);
    to[j] = static_cast<std::int16_t>(static_cast<std::int32_t>(level));
  }
  return largest / 32767.0F;
}

/// What a product of integers reads at once.
inline constexpr std::size_t integer_step = 32;

/// Adds Σ w·x of `count` values (a multiple of integer_step, 4096 at the most) to each row's total, exactly.
template <std::size_t Rows>
SDLORA_INLINED inline void add_integer_products(const std::byte* w, const std::int16_t* x, std::size_t stride,
                                                std::size_t count, std::int64_t* totals) {
  // 4096 products in 16 or 32 lanes, each below 2^15 · 2^7, fit an integer of 32 bits.
  [&]<std::size_t... I>(std::index_sequence<I...>) SDLORA_INLINED {
#if defined(__AVX512BW__) && !defined(__CUDACC__)
    __m512i sums[Rows] = {(static_cast<void>(I), _mm512_setzero_si512())...};
    for (std::size_t k = 0; k < count; k += 32) {
      const __m512i values =
          _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + k)));
      ((sums[I] =
            _mm512_add_epi32(sums[I], _mm512_madd_epi16(values, _mm512_loadu_si512(x + I * stride + k)))),
       ...);
    }
    ((totals[I] += _mm512_reduce_add_epi64(
          _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums[I])),
                           _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums[I], 1))))),
     ...);
#elif defined(__AVX2__) && !defined(__CUDACC__)
    __m256i sums[Rows] = {(static_cast<void>(I), _mm256_setzero_si256())...};
    for (std::size_t k = 0; k < count; k += 16) {
      const __m256i values = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + k)));
      ((sums[I] = _mm256_add_epi32(
            sums[I], _mm256_madd_epi16(
                         values, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + I * stride + k))))),
       ...);
    }
    const auto added = [](__m256i sum) {
      const __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)),
                                            _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1)));
      alignas(32) std::int64_t lanes[4];
      _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), wide);
      return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    };
    ((totals[I] += added(sums[I])), ...);
#else
    for (std::size_t k = 0; k < count; k += integer_step) {
      std::int32_t sums[Rows] = {};
      for (std::size_t j = k; j < k + integer_step; ++j) {
        // NOLINTNEXTLINE(bugprone-signed-char-misuse): a number
        const auto value = static_cast<std::int32_t>(static_cast<std::int8_t>(w[j]));
        ((sums[I] += value * std::int32_t{x[I * stride + j]}), ...);
      }
      ((totals[I] += sums[I]), ...);
    }
#endif
  }(std::make_index_sequence<Rows>{});
}

/// x · Wᵀ of integers, for `Rows` rows of x with zeros up to a multiple of integer_step. No sum is rounded,
/// so that bits are the same for any `Rows` and on every machine.
template <std::size_t Rows>
void multiply_integer_rows(MatrixView<float> out, MatrixView<const std::int16_t> x, const float* x_scales,
                           std::size_t inner, const StoredBytes<std::int8_t>& weight, std::size_t first,
                           std::size_t count, Write write, float scale) {
  constexpr std::size_t piece = 4096;
  const std::size_t whole = inner / integer_step * integer_step;
  for (std::size_t n = first; n < first + count; ++n) {
    std::int64_t totals[Rows] = {};
    const std::byte* row = weight.at(n, 0);
    for (std::size_t k = 0; k < whole; k += piece) {
      add_integer_products<Rows>(row + k, x.data + k, x.stride, std::min(piece, whole - k), totals);
    }
    if (whole != inner) {
      alignas(alignment) std::byte rest[integer_step] = {};
      std::memcpy(rest, row + whole, inner - whole);
      add_integer_products<Rows>(rest, x.data + whole, x.stride, integer_step, totals);
    }
    const float by = scale * weight.scale(n);
    for (std::size_t m = 0; m < Rows; ++m) {
      float& to = out(m, n);
      const float value = static_cast<float>(totals[m]) * (by * x_scales[m]);
      to = write == Write::Add ? to + value : value;
    }
  }
}

/// Rows of a weight that a task multiplies: about as many bytes for each.
template <class Stored>
std::size_t rows_of_task(std::size_t cols) {
  constexpr std::size_t bytes = std::size_t{1} << 16;
  return std::clamp<std::size_t>(bytes / std::max<std::size_t>(1, cols * sizeof(Stored)), 8, 256);
}

/// Calls f(first row of x, count as a constant, first row of W, count) for every part of a product: four rows
/// of x at a time, and the rest; a task's part of the weight stays in a cache meanwhile.
template <class Stored, class Function>
void for_few_rows(std::size_t x_rows, std::size_t rows, std::size_t cols, const Function& f) {
  const std::size_t block = rows_of_task<Stored>(cols);
  parallel_for(ceil_div(rows, block), [&](std::size_t task) {
    const std::size_t first = task * block, count = std::min(block, rows - first);
    for (std::size_t row = 0; row < x_rows; row += 4) {
      switch (std::min<std::size_t>(4, x_rows - row)) {
        case 1:
          f(row, std::integral_constant<std::size_t, 1>{}, first, count);
          break;
        case 2:
          f(row, std::integral_constant<std::size_t, 2>{}, first, count);
          break;
        case 3:
          f(row, std::integral_constant<std::size_t, 3>{}, first, count);
          break;
        default:
          f(row, std::integral_constant<std::size_t, 4>{}, first, count);
      }
    }
  });
}

/// out (M, N) = scale · x · Wᵀ, or out += that. Products of int8 that are not rounded take activations as
/// integers of 16 bits.
template <bool Rounded, class Stored>
void multiply_few_rows(MatrixView<float> out, MatrixView<const float> x, const StoredBytes<Stored>& weight,
                       Write write, float scale) {
  Workspace& workspace = thread_workspace();
  const Workspace::Scope scope(workspace);
  const auto prepare = [&]<class Value>(std::type_identity<Value>, std::size_t step, const auto& fill) {
    const MatrixView<Value> left = workspace.matrix<Value>(x.rows, round_up(x.cols, step));
    for (std::size_t i = 0; i < x.rows; ++i) {
      fill(left.row(i), i);
      std::fill(left.row(i) + x.cols, left.row(i) + left.cols, Value{});
    }
    return left;
  };
  if constexpr (std::is_same_v<Stored, std::int8_t> && !Rounded) {
    const std::span<float> scales = workspace.take<float>(x.rows);
    const auto left = prepare(
        std::type_identity<std::int16_t>{}, integer_step,
        [&](std::int16_t* to, std::size_t i) { scales[i] = round_to_integers(to, x.row(i), x.cols); });
    for_few_rows<Stored>(
        x.rows, out.cols, x.cols, [&](std::size_t row, auto rows, std::size_t first, std::size_t count) {
          multiply_integer_rows<rows()>(out.rows_from(row, rows()), left.rows_from(row, rows()),
                                        scales.data() + row, x.cols, weight, first, count, write, scale);
        });
  } else {
    const auto left =
        prepare(std::type_identity<float>{}, RowReader<Rounded, Stored>::step, [&](float* to, std::size_t i) {
          if constexpr (Rounded) {
            round_row(to, x.row(i), x.cols);
          } else {
            std::copy_n(x.row(i), x.cols, to);
          }
        });
    for_few_rows<Stored>(
        x.rows, out.cols, x.cols, [&](std::size_t row, auto rows, std::size_t first, std::size_t count) {
          multiply_rows<Rounded, rows()>(out.rows_from(row, rows()), left.rows_from(row, rows()), x.cols,
                                         weight, first, count, write, scale);
        });
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
