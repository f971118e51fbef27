#pragma once

#include "column_lanes.hpp"

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// Gradients of one tile, from the last time step to the first.
template <bool WithA, bool Streaming, class V, std::size_t Count, class T, class Stored>
void backward_tile(const LinearGradientBlock<T, Stored>& x) {
  constexpr std::size_t lanes = sizeof(V) / sizeof(T);
  std::array<V, Count> g;
  g.fill(V(T(0)));
  const Stored* a = x.a;  // of the step after the running one; at first its own row, times a state of zero
  const Stored* h = x.h;  // of the step before the running one
  const Stored* d_h = x.d_h;
  Stored* d_a = x.d_a;
  Stored* d_b = x.d_b;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto step = [&](auto before) {
      (
          [&] {
            g[I] = fused_multiply_add<V>(load_lanes<V>(a + I * lanes), g[I], load_lanes<V>(d_h + I * lanes));
            store_lanes<Streaming>(g[I], d_b + I * lanes);
            if constexpr (WithA) store_lanes<Streaming>(V(g[I] * before(I * lanes)), d_a + I * lanes);
          }(),
          ...);
    };
    if (x.length == 0) return;
    // The last step has none after it. Its own a may be anything: it must not meet the zero.
    const auto first_step = [&](auto before) {
      (
          [&] {
            g[I] = load_lanes<V>(d_h + I * lanes);
            store_lanes<Streaming>(g[I], d_b + I * lanes);
            if constexpr (WithA) store_lanes<Streaming>(V(g[I] * before(I * lanes)), d_a + I * lanes);
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
        d_h -= x.d_h_step;
        d_b -= x.d_b_step;
        if constexpr (WithA) {
          h -= x.h_step;
          d_a -= x.d_a_step;
        }
        if constexpr (Streaming) {
          prefetch_row<Count * lanes * sizeof(Stored)>(a, -x.a_step);
          prefetch_row<Count * lanes * sizeof(Stored)>(d_h, -x.d_h_step);
          if constexpr (WithA) prefetch_row<Count * lanes * sizeof(Stored)>(h, -x.h_step);
        }
        if (t > 1) {
          step(from_h);
        } else {
          step(from_initial);
        }
        a -= x.a_step;
      }
    }
    if (x.d_initial)
      (store_lanes<false>(V(load_lanes<V>(a + I * lanes) * g[I]), x.d_initial + I * lanes), ...);
  }(std::make_index_sequence<Count>());
  if constexpr (Streaming) finish_streaming();
}

template <bool WithA, bool Streaming, std::size_t Widest, class T, class Stored>
void backward_tiles(const LinearGradientBlock<T, Stored>& x) {
  for_each_tile<Widest, simd_width<T>>(
      x, []<class V, std::size_t Count>(const LinearGradientBlock<T, Stored>& tile) {
        backward_tile<WithA, Streaming && std::is_same_v<V, Simd<T>>, V, Count>(tile);
      });
}

template <std::size_t Widest = tile_vectors, class T, class Stored>
void backward_columns(const LinearGradientBlock<T, Stored>& x) {
  std::size_t head = x.streaming ? columns_before_line(x.d_b, x.d_b_step, x.columns) : x.columns;
  // Both results stream, or none does.
  if (x.d_a && head != columns_before_line(x.d_a, x.d_a_step, x.columns)) head = x.columns;
  const auto rest = x.columns_from(head, x.columns - head);
  if (x.d_a) {
    if (head > 0) backward_tiles<true, false, Widest>(x.columns_from(0, head));
    if (rest.columns > 0) backward_tiles<true, true, Widest>(rest);
  } else {
    if (head > 0) backward_tiles<false, false, Widest>(x.columns_from(0, head));
    if (rest.columns > 0) backward_tiles<false, true, Widest>(rest);
  }
}

/// As backward_columns, row after row with g in `state` (columns).
template <class T, class Stored>
void backward_rows(const LinearGradientBlock<T, Stored>& x, T* state) {
  if (x.length == 0) return;
  std::fill_n(state, x.columns, T(0));
  const Stored* a = x.a;
  const Stored* h = x.h;
  const Stored* d_h = x.d_h;
  Stored* d_a = x.d_a;
  Stored* d_b = x.d_b;
  const bool lines = columns_before_line(x.d_b, x.d_b_step, x.columns) == 0 &&
                     (!x.d_a || columns_before_line(x.d_a, x.d_a_step, x.columns) == 0);
  const auto row = [&]<bool WithA, bool Streaming, bool Last>(const auto* before) {
    for_each_vector<T>(x.columns, [&]<class V>(std::size_t j) {
      constexpr bool streams = Streaming && !std::is_same_v<V, T>;
      if constexpr (streams) {
        prefetch_line(a + j, -x.a_step);
        prefetch_line(d_h + j, -x.d_h_step);
        if constexpr (WithA) prefetch_line(h + j, -x.h_step);
      }
      V g = load_lanes<V>(d_h + j);
      if constexpr (!Last) g = fused_multiply_add<V>(load_lanes<V>(a + j), load_lanes<V>(state + j), g);
      store_lanes<false>(g, state + j);
      store_lanes<streams>(g, d_b + j);
      if constexpr (WithA) store_lanes<streams>(before ? V(g * load_lanes<V>(before + j)) : V(T(0)), d_a + j);
    });
  };
  const auto step = [&]<bool Last>(const auto* before) {
    if (x.d_a && lines) {
      row.template operator()<true, true, Last>(before);
    } else if (x.d_a) {
      row.template operator()<true, false, Last>(before);
    } else if (lines) {
      row.template operator()<false, true, Last>(before);
    } else {
      row.template operator()<false, false, Last>(before);
    }
  };
  for (std::size_t t = x.length; t-- > 0;) {
    const bool last = t + 1 == x.length;
    const auto step_after = [&](const auto* before) {
      if (last) {
        step.template operator()<true>(before);
      } else {
        step.template operator()<false>(before);
      }
    };
    if (t > 0) {
      h -= x.h_step;
      step_after(h);
    } else {
      step_after(x.initial);
    }
    if (!last) a -= x.a_step;
    if (t == 0) break;
    d_h -= x.d_h_step;
    d_b -= x.d_b_step;
    if (x.d_a) d_a -= x.d_a_step;
  }
  if (x.d_initial) {
    for (std::size_t j = 0; j < x.columns; ++j) x.d_initial[j] = static_cast<T>(a[j]) * state[j];
  }
  finish_streaming();
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
