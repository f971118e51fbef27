#pragma once

#include "../tensor/simd.hpp"
#include "policy.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

// Loops over time for tiles of columns whose states stay in registers. V is a batch, or T itself.

template <class V, class T>
inline V load_lanes(const T* p) {
  if constexpr (std::is_same_v<V, T>) {
    return *p;
  } else {
    return V::load_unaligned(p);
  }
}

/// Stores that pass the caches by, for results that would only displace what is still to be read.
/// Where the instruction set has none, an ordinary store. xsimd has no name for them.
template <class V, class T>
inline void stream_lanes(const V& v, T* p) {
  constexpr std::size_t bytes = sizeof(V);
  constexpr bool single = std::is_same_v<T, float>;
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

template <bool Streaming, class V, class T>
inline void store_lanes(const V& v, T* p) {
  if constexpr (Streaming) {
    stream_lanes(v, p);
  } else if constexpr (std::is_same_v<V, T>) {
    *p = v;
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
  const auto line = static_cast<std::ptrdiff_t>(alignment);
  if (step * static_cast<std::ptrdiff_t>(sizeof(T)) % line != 0) return columns;
  const std::size_t past = reinterpret_cast<std::uintptr_t>(p) % alignment;
  return std::min(columns, (alignment - past) % alignment / sizeof(T));
}

template <class V>
inline V multiply_add(const V& x, const V& y, const V& z) {
  using Value = SimdValue<V>;
  if constexpr (std::is_same_v<V, Value> || std::is_same_v<V, Simd<Value>>) {
    return fused_multiply_add(x, y, z);
  } else {
    return xsimd::fma(x, y, z);  // a batch narrower than the machine's
  }
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

/// Asks for the lines of one tile's row, `rows_ahead` rows on. Only a hint: it may lie outside.
template <std::size_t Bytes, class T>
inline void prefetch_row(const T* p, std::ptrdiff_t step) {
#if defined(__GNUC__)
  const auto address =
      reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(rows_ahead * step) * sizeof(T);
  for (std::size_t i = 0; i < Bytes; i += alignment)
    __builtin_prefetch(reinterpret_cast<const void*>(address + i));
#endif
}

/// h of one tile of Count vectors of columns, all time steps.
template <bool Exclusive, bool Streaming, class V, std::size_t Count, class T>
void scan_tile(const LinearBlock<T>& x) {
  constexpr std::size_t lanes = sizeof(V) / sizeof(T);
  std::array<V, Count> state;
  for (std::size_t i = 0; i < Count; ++i)
    state[i] = x.initial ? load_lanes<V>(x.initial + i * lanes) : V(T(0));
  const T* a = x.a;
  const T* b = x.b;
  T* h = x.h;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    for (std::size_t t = 0; t < x.length; ++t) {
      if constexpr (Streaming) {
        prefetch_row<Count * sizeof(V)>(a, x.a_step);
        prefetch_row<Count * sizeof(V)>(b, x.b_step);
      }
      (
          [&] {
            const V before = state[I];
            state[I] = multiply_add<V>(load_lanes<V>(a + I * lanes), before, load_lanes<V>(b + I * lanes));
            store_lanes<Streaming>(Exclusive ? before : state[I], h + I * lanes);
          }(),
          ...);
      a += x.a_step;
      b += x.b_step;
      h += x.h_step;
    }
  }(std::make_index_sequence<Count>());
  if constexpr (Streaming) finish_streaming();
}

template <bool Exclusive, bool Streaming, std::size_t Widest, class T>
void scan_tiles(const LinearBlock<T>& x) {
  for_each_tile<Widest, simd_width<T>>(x, []<class V, std::size_t Count>(const LinearBlock<T>& tile) {
    scan_tile<Exclusive, Streaming && std::is_same_v<V, Simd<T>>, V, Count>(tile);
  });
}

template <std::size_t Widest = tile_vectors, class T>
void scan_columns(const LinearBlock<T>& x) {
  if (x.exclusive) return scan_tiles<true, false, Widest>(x);
  const std::size_t head = x.streaming ? columns_before_line(x.h, x.h_step, x.columns) : x.columns;
  if (head > 0) scan_tiles<false, false, Widest>(x.columns_from(0, head));
  if (head < x.columns) scan_tiles<false, true, Widest>(x.columns_from(head, x.columns - head));
}

/// The composed step of a tile of columns over all its time: `product` and `sum`, (columns) each.
template <class V, std::size_t Count, class T>
void reduce_tile(const LinearBlock<T>& x, T* product, T* sum) {
  constexpr std::size_t lanes = sizeof(V) / sizeof(T);
  std::array<V, Count> p, s;
  p.fill(V(T(1)));
  s.fill(V(T(0)));
  const T* a = x.a;
  const T* b = x.b;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    for (std::size_t t = 0; t < x.length; ++t) {
      (
          [&] {
            const V step = load_lanes<V>(a + I * lanes);
            p[I] = p[I] * step;
            s[I] = multiply_add<V>(step, s[I], load_lanes<V>(b + I * lanes));
          }(),
          ...);
      a += x.a_step;
      b += x.b_step;
    }
    (store_lanes<false>(p[I], product + I * lanes), ...);
    (store_lanes<false>(s[I], sum + I * lanes), ...);
  }(std::make_index_sequence<Count>());
}

/// Gradients of one tile, from the last time step to the first.
template <bool WithA, bool Streaming, class V, std::size_t Count, class T>
void backward_tile(const LinearGradientBlock<T>& x) {
  constexpr std::size_t lanes = sizeof(V) / sizeof(T);
  std::array<V, Count> g;
  g.fill(V(T(0)));
  const T* a = x.a;  // of the step after the running one; at first its own row, times a state of zero
  const T* h = x.h;  // of the step before the running one
  const T* grad_h = x.grad_h;
  T* grad_a = x.grad_a;
  T* grad_b = x.grad_b;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto step = [&](auto before) {
      (
          [&] {
            g[I] = multiply_add<V>(load_lanes<V>(a + I * lanes), g[I], load_lanes<V>(grad_h + I * lanes));
            store_lanes<Streaming>(g[I], grad_b + I * lanes);
            if constexpr (WithA) store_lanes<Streaming>(V(g[I] * before(I * lanes)), grad_a + I * lanes);
          }(),
          ...);
    };
    if (x.length == 0) return;
    // The last step has none after it. Its own a may be anything: it must not meet the zero.
    const auto first_step = [&](auto before) {
      (
          [&] {
            g[I] = load_lanes<V>(grad_h + I * lanes);
            store_lanes<Streaming>(g[I], grad_b + I * lanes);
            if constexpr (WithA) store_lanes<Streaming>(V(g[I] * before(I * lanes)), grad_a + I * lanes);
          }(),
          ...);
    };
    const auto from_h = [&](std::size_t offset) { return load_lanes<V>(h + offset); };
    const auto from_initial = [&](std::size_t offset) {
      return x.initial ? load_lanes<V>(x.initial + offset) : V(T(0));
    };
    if (x.length == 1) {
      first_step(from_initial);
    } else {
      h -= x.h_step;
      first_step(from_h);
      for (std::size_t t = x.length - 1; t > 0; --t) {
        grad_h -= x.grad_h_step;
        grad_b -= x.grad_b_step;
        if constexpr (WithA) {
          h -= x.h_step;
          grad_a -= x.grad_a_step;
        }
        if constexpr (Streaming) {
          prefetch_row<Count * sizeof(V)>(a, -x.a_step);
          prefetch_row<Count * sizeof(V)>(grad_h, -x.grad_h_step);
          if constexpr (WithA) prefetch_row<Count * sizeof(V)>(h, -x.h_step);
        }
        if (t > 1) {
          step(from_h);
        } else {
          step(from_initial);
        }
        a -= x.a_step;
      }
    }
    if (x.grad_initial)
      (store_lanes<false>(V(load_lanes<V>(a + I * lanes) * g[I]), x.grad_initial + I * lanes), ...);
  }(std::make_index_sequence<Count>());
  if constexpr (Streaming) finish_streaming();
}

template <bool WithA, bool Streaming, std::size_t Widest, class T>
void backward_tiles(const LinearGradientBlock<T>& x) {
  for_each_tile<Widest, simd_width<T>>(x, []<class V, std::size_t Count>(const LinearGradientBlock<T>& tile) {
    backward_tile<WithA, Streaming && std::is_same_v<V, Simd<T>>, V, Count>(tile);
  });
}

template <std::size_t Widest = tile_vectors, class T>
void backward_columns(const LinearGradientBlock<T>& x) {
  std::size_t head = x.streaming ? columns_before_line(x.grad_b, x.grad_b_step, x.columns) : x.columns;
  // Both results stream, or none does.
  if (x.grad_a && head != columns_before_line(x.grad_a, x.grad_a_step, x.columns)) head = x.columns;
  const auto rest = x.columns_from(head, x.columns - head);
  if (x.grad_a) {
    if (head > 0) backward_tiles<true, false, Widest>(x.columns_from(0, head));
    if (rest.columns > 0) backward_tiles<true, true, Widest>(rest);
  } else {
    if (head > 0) backward_tiles<false, false, Widest>(x.columns_from(0, head));
    if (rest.columns > 0) backward_tiles<false, true, Widest>(rest);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
