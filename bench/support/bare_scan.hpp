#pragma once

#include <sdlora/scan/selective/detail/exp2_table.hpp>
#include <sdlora/tensor/matrix_view.hpp>
#include <sdlora/tensor/simd.hpp>

#include <cstddef>

namespace bench {

/// The decay as the public exp2 gives it, which knows no bound of its argument.
struct ClampedDecay {
  using V = sdlora::Simd<float>;
  V operator()(V delta, V a2) const { return sdlora::exp2(V(delta * a2)); }
};
/// The decay as the fused scan makes it where Δ·A is bounded: the fewest operations that the library knows.
struct BoundedDecay {
  using V = sdlora::Simd<float>;
  V operator()(V delta, V a2) const { return sdlora::detail::exp2_of_product(delta, a2); }
};

/// The selective scan's recurrence and nothing else, as a ceiling: loads dt, u, B and C; `States`
/// states in registers; a decay and two multiply-adds per state; stores y. Channels [first, last),
/// both multiples of the vector width. a2 holds A · log2 e as (E / width, States, width).
template <std::size_t States, class Decay = BoundedDecay>
void bare_scan(sdlora::MatrixView<const float> dt, sdlora::MatrixView<const float> u,
               sdlora::MatrixView<const float> B, sdlora::MatrixView<const float> C, const float* a2,
               sdlora::MatrixView<float> y, std::size_t first, std::size_t last) {
  using V = sdlora::Simd<float>;
  constexpr std::size_t width = sdlora::simd_width<float>;
  for (std::size_t e = first; e < last; e += width) {
    const float* a = a2 + e * States;
    V h[States];
    for (V& state : h) state = V(0.0F);
    for (std::size_t t = 0; t < dt.rows; ++t) {
      const V delta = V::load_unaligned(dt.row(t) + e);
      const V input = delta * V::load_unaligned(u.row(t) + e);
      V sum(0.0F);
#pragma GCC unroll 64
      for (std::size_t n = 0; n < States; ++n) {
        const V decay = Decay{}(delta, V::load_unaligned(a + n * width));
        h[n] = sdlora::fma(decay, h[n], V(input * V(B(t, n))));
        sum = sdlora::fma(h[n], V(C(t, n)), sum);
      }
      sum.store_unaligned(y.row(t) + e);
    }
  }
}

}  // namespace bench
