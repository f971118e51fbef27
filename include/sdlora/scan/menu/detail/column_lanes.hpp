#pragma once

#include "../../../tensor/simd.hpp"
#include "../policy.hpp"
#include "bfloat16_lanes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

// What loops over columns in vector lanes share. V is a batch, or a scalar; memory holds its values,
// or bfloat16.

template <class V, class T>
inline V load_lanes(const T* p) {
  if constexpr (std::is_scalar_v<V>) {
    return static_cast<V>(*p);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return widen_lanes<V>(p);
  } else {
    return V::load_unaligned(p);
  }
}

/// Stores that pass the caches by, for results that would only displace what is still to be read.
/// Where the instruction set has none, an ordinary store. xsimd has no name for them.
template <class V, class T>
inline void stream_lanes(const V& v, T* p) {
  constexpr std::size_t bytes = sizeof(V);
  [[maybe_unused]] constexpr bool single = std::is_same_v<T, float>;
#if XSIMD_WITH_AVX512F
  if constexpr (bytes == 64) {
    if constexpr (single) {
      return _mm512_stream_ps(p, v);
    } else {
      return _mm512_stream_pd(p, v);
    }
  }
#endif
#if XSIMD_WITH_AVX
  if constexpr (bytes == 32) {
    if constexpr (single) {
      return _mm256_stream_ps(p, v);
    } else {
      return _mm256_stream_pd(p, v);
    }
  }
#endif
#if XSIMD_WITH_SSE2
  if constexpr (bytes == 16) {
    if constexpr (single) {
      return _mm_stream_ps(p, v);
    } else {
      return _mm_stream_pd(p, v);
    }
  }
#endif
  if constexpr (bytes != 16 && bytes != 32 && bytes != 64) {
    *p = v;
  } else {
    v.store_unaligned(p);
  }
}

/// The same for what bfloat16 lanes become.
template <class Halves>
inline void stream_halves(const Halves& halves, BFloat16* p) {
#if XSIMD_WITH_AVX
  if constexpr (sizeof(halves) == 32) {
    __m256i words;
    std::memcpy(&words, &halves, sizeof(words));
    return _mm256_stream_si256(reinterpret_cast<__m256i*>(p), words);
  }
#endif
#if XSIMD_WITH_SSE2
  if constexpr (sizeof(halves) == 16) {
    __m128i words;
    std::memcpy(&words, &halves, sizeof(words));
    return _mm_stream_si128(reinterpret_cast<__m128i*>(p), words);
  }
#endif
  std::memcpy(p, &halves, sizeof(halves));
}

template <bool Streaming, class V, class T>
inline void store_lanes(const V& v, T* p) {
  if constexpr (std::is_scalar_v<V>) {
    *p = static_cast<T>(v);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    const auto halves = narrow_lanes(v);
    if constexpr (Streaming) {
      stream_halves(halves, p);
    } else {
      std::memcpy(p, &halves, sizeof(halves));
    }
  } else if constexpr (Streaming) {
    stream_lanes(v, p);
  } else {
    v.store_unaligned(p);
  }
}

/// Orders streamed stores before what other threads are told next.
inline void finish_streaming() {
#if XSIMD_WITH_SSE2
  _mm_sfence();
#endif
}

/// The columns before the first whole line at `p`; all columns where rows, `step` elements apart, do
/// not keep to lines, so that streaming never begins.
template <class T>
std::size_t columns_before_line(const T* p, std::ptrdiff_t step, std::size_t columns) {
  const auto line = static_cast<std::ptrdiff_t>(cache_line);
  if (step * static_cast<std::ptrdiff_t>(sizeof(T)) % line != 0) return columns;
  const std::size_t past = reinterpret_cast<std::uintptr_t>(p) % cache_line;
  return std::min(columns, (cache_line - past) % cache_line / sizeof(T));
}

/// Vectors of states that a tile may hold: half of the registers, the rest is for what streams past.
inline constexpr std::size_t tile_vectors = simd_width<float> >= 16 ? 16 : 8;

/// Calls f.template operator()<V, Count>(tile) for column tiles that cover the block: first of
/// `Widest` whole vectors, then fewer, then narrower vectors, then scalars.
template <std::size_t Widest, std::size_t Lanes, class Block, class F>
void for_each_tile(Block x, const F& f) {
  using T = typename Block::value_type;
  if constexpr (Lanes == 1) {
    while (x.columns > 0) {
      f.template operator()<T, 1>(x.columns_from(0, 1));
      x = x.columns_from(1, x.columns - 1);
    }
  } else {
    using V = xsimd::make_sized_batch_t<T, Lanes>;
    if constexpr (std::is_void_v<V>) {
      for_each_tile<1, Lanes / 2>(x, f);
    } else {
      while (x.columns >= Widest * Lanes) {
        f.template operator()<V, Widest>(x.columns_from(0, Widest * Lanes));
        x = x.columns_from(Widest * Lanes, x.columns - Widest * Lanes);
      }
      if constexpr (Widest > 1) {
        for_each_tile<Widest / 2, Lanes>(x, f);
      } else {
        for_each_tile<1, Lanes / 2>(x, f);
      }
    }
  }
}

/// The same with tiles of `Count` whole vectors or of one, and scalars for the rest: for arithmetic that
/// exists for those two.
template <std::size_t Count, class Block, class F>
void for_each_whole_tile(Block x, const F& f) {
  using T = typename Block::value_type;
  const auto take = [&]<class V, std::size_t Vectors>() {
    constexpr std::size_t width = Vectors * sizeof(V) / sizeof(T);
    while (x.columns >= width) {
      f.template operator()<V, Vectors>(x.columns_from(0, width));
      x = x.columns_from(width, x.columns - width);
    }
  };
  if constexpr (Count > 1) take.template operator()<Simd<T>, Count>();
  take.template operator()<Simd<T>, 1>();
  take.template operator()<T, 1>();
}

/// Rows ahead of the running one that a streaming loop asks for: far enough to hide memory.
inline constexpr std::ptrdiff_t rows_ahead = 4;

/// Asks for the line at `p`, `rows_ahead` rows on. Only a hint: it may lie outside.
template <class T>
inline void prefetch_line(const T* p, std::ptrdiff_t step) {
#if defined(__GNUC__)
  const auto distance = static_cast<std::uintptr_t>(rows_ahead * step) * sizeof(T);
  // Arithmetic on the pointer itself would have to stay inside of its array.
  __builtin_prefetch(  // NOLINTNEXTLINE(performance-no-int-to-ptr)
      reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + distance));
#endif
}

/// The same for the lines of one tile's row.
template <std::size_t Bytes, class T>
inline void prefetch_row(const T* p, std::ptrdiff_t step) {
  for (std::size_t i = 0; i < Bytes; i += cache_line) prefetch_line(p + i / sizeof(T), step);
}

/// From this many columns on, gradients and results in bfloat16 that exceed the caches are made row after
/// row.
inline constexpr std::size_t row_columns = 768;

/// Calls f.template operator()<V>(j) for the columns of a row, vectors first, then scalars.
template <class T, class F>
inline void for_each_vector(std::size_t columns, const F& f) {
  std::size_t j = 0;
  for (; j + simd_width<T> <= columns; j += simd_width<T>) f.template operator()<Simd<T>>(j);
  for (; j < columns; ++j) f.template operator()<T>(j);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
