#pragma once

#include "column_lanes.hpp"

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// h of one tile of Count vectors of columns, all time steps.
template <bool Exclusive, bool Streaming, class V, std::size_t Count, class T, class Stored>
void scan_tile(const LinearBlock<T, Stored>& x) {
  constexpr std::size_t lanes = sizeof(V) / sizeof(T);
  std::array<V, Count> state;
  for (std::size_t i = 0; i < Count; ++i)
    state[i] = x.initial ? load_lanes<V>(x.initial + i * lanes) : V(T(0));
  const Stored* a = x.a;
  const Stored* b = x.b;
  Stored* h = x.h;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    for (std::size_t t = 0; t < x.length; ++t) {
      if constexpr (Streaming) {
        prefetch_row<Count * lanes * sizeof(Stored)>(a, x.a_step);
        prefetch_row<Count * lanes * sizeof(Stored)>(b, x.b_step);
      }
      (
          [&] {
            const V before = state[I];
            state[I] =
                fused_multiply_add<V>(load_lanes<V>(a + I * lanes), before, load_lanes<V>(b + I * lanes));
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

template <bool Exclusive, bool Streaming, std::size_t Widest, class T, class Stored>
void scan_tiles(const LinearBlock<T, Stored>& x) {
  for_each_tile<Widest, simd_width<T>>(x, []<class V, std::size_t Count>(const LinearBlock<T, Stored>& tile) {
    scan_tile<Exclusive, Streaming && std::is_same_v<V, Simd<T>>, V, Count>(tile);
  });
}

template <std::size_t Widest = tile_vectors, class T, class Stored>
void scan_columns(const LinearBlock<T, Stored>& x) {
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
            s[I] = fused_multiply_add<V>(step, s[I], load_lanes<V>(b + I * lanes));
          }(),
          ...);
      a += x.a_step;
      b += x.b_step;
    }
    (store_lanes<false>(p[I], product + I * lanes), ...);
    (store_lanes<false>(s[I], sum + I * lanes), ...);
  }(std::make_index_sequence<Count>());
}

/// As scan_columns, but row after row with the states in `state` (columns), for results that exceed
/// the caches: wide rows meet each page of memory once instead of once per tile.
template <class T, class Stored>
void scan_rows(const LinearBlock<T, Stored>& x, T* state) {
  for (std::size_t j = 0; j < x.columns; ++j) state[j] = x.initial_state(j);
  const Stored* a = x.a;
  const Stored* b = x.b;
  Stored* h = x.h;
  const bool lines = columns_before_line(x.h, x.h_step, x.columns) == 0;
  const auto row = [&]<bool Streaming>() {
    for_each_vector<T>(x.columns, [&]<class V>(std::size_t j) {
      if constexpr (Streaming && !std::is_same_v<V, T>) {
        prefetch_line(a + j, x.a_step);
        prefetch_line(b + j, x.b_step);
      }
      const V after =
          fused_multiply_add<V>(load_lanes<V>(a + j), load_lanes<V>(state + j), load_lanes<V>(b + j));
      store_lanes<false>(after, state + j);
      store_lanes<Streaming && !std::is_same_v<V, T>>(after, h + j);
    });
  };
  for (std::size_t t = 0; t < x.length; ++t) {
    if (lines) {
      row.template operator()<true>();
    } else {
      row.template operator()<false>();
    }
    a += x.a_step;
    b += x.b_step;
    h += x.h_step;
  }
  finish_streaming();
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
