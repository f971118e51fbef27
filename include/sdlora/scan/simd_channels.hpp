#pragma once

#include "../tensor/simd.hpp"
#include "policy.hpp"

#include <array>
#include <utility>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

template <class V, class T>
inline V load_lanes(const T* p) {
  if constexpr (std::is_same_v<V, T>) {
    return *p;
  } else {
    return V::load_unaligned(p);
  }
}
template <class V, class T>
inline void store_lanes(const V& v, T* p) {
  if constexpr (std::is_same_v<V, T>) {
    *p = v;
  } else {
    v.store_unaligned(p);
  }
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

/// Calls f.template operator()<V, Count>(block) for column tiles that cover `x`: first tiles of `Widest`
/// whole vectors, then fewer, then narrower vectors, then scalars. A tile's states live in registers.
template <std::size_t Widest, std::size_t Lanes, class T, class F>
void for_each_tile(LinearBlock<T> x, const F& f) {
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

/// h of one tile of Count·lanes columns, all time steps.
template <bool Exclusive, class V, std::size_t Count, class T>
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
      (
          [&] {
            const V before = state[I];
            state[I] = multiply_add<V>(load_lanes<V>(a + I * lanes), before, load_lanes<V>(b + I * lanes));
            store_lanes(Exclusive ? before : state[I], h + I * lanes);
          }(),
          ...);
      a += x.a_step;
      b += x.b_step;
      h += x.h_step;
    }
  }(std::make_index_sequence<Count>());
}

/// Vectors of states that a tile may hold: half of the registers, the rest is for what streams past.
inline constexpr std::size_t tile_vectors = simd_width<float> >= 16 ? 16 : 8;

template <std::size_t Widest = tile_vectors, class T>
void scan_columns(const LinearBlock<T>& x) {
  if (x.exclusive) {
    for_each_tile<Widest, simd_width<T>>(
        x, []<class V, std::size_t Count>(const LinearBlock<T>& tile) { scan_tile<true, V, Count>(tile); });
  } else {
    for_each_tile<Widest, simd_width<T>>(
        x, []<class V, std::size_t Count>(const LinearBlock<T>& tile) { scan_tile<false, V, Count>(tile); });
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// Columns side by side in vector lanes, states in registers, time in sequence: the default on a CPU.
/// Work L, depth L, per column. Stability: that of the sequential scan (one rounding less per step
/// where a fused multiply-add exists). Linear recurrences only.
struct SimdChannels {
  static constexpr std::string_view name = "simd_channels";

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    detail::scan_columns(x);
  }
};

static_assert(ScanPolicy<SimdChannels> && ColumnScan<SimdChannels>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
