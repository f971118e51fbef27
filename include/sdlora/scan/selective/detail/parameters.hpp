#pragma once

#include "../../../tensor/simd.hpp"
#include "../../../tensor/workspace.hpp"
#include "../arguments.hpp"
#include "blocks.hpp"
#include "exp2_table.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

// What the kernels of the fused selective scan take from A, D and dt_bias, and the decay made of it.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// A part of a line's states, laid out (lines, N, line), from and to rows of a matrix (E, N).
/// Lanes behind the last channel read as 0.
template <class T>
void load_states(T* states, const T* matrix, std::size_t stride, std::size_t first_channel, std::size_t E,
                 std::size_t N, T factor = T(1)) {
  constexpr std::size_t P = scan_line<T>;
  const std::size_t count = matrix && first_channel < E ? std::min(P, E - first_channel) : 0;
  if (count < P) std::fill_n(states, N * P, T(0));
  const T* const from = count > 0 ? matrix + first_channel * stride : nullptr;
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t j = 0; j < count; ++j) states[n * P + j] = factor * from[j * stride + n];
  }
}
template <class T>
void store_states(T* matrix, const T* states, std::size_t first_channel, std::size_t E, std::size_t N) {
  constexpr std::size_t P = scan_line<T>;
  for (std::size_t j = 0; j < P && first_channel + j < E; ++j) {
    for (std::size_t n = 0; n < N; ++n) matrix[(first_channel + j) * N + n] = states[n * P + j];
  }
}

/// Up to this magnitude of Δ·A·log2(e) the decay is a normal number.
template <class T>
inline constexpr T decay_limit = FloatFormat<T>::end_exponent - T(3);

/// The decay 2^(Δ·A2), whose product is not rounded. Bounded: |Δ·A2| is at most decay_limit; without, the
/// same bits as far as that, 0 below and infinity above.
template <bool Bounded, class V>
SDLORA_INLINED inline V decay(V delta, V A2) {
  using T = SimdValue<V>;
  const V result = exp2_of_product(delta, A2);
  if constexpr (Bounded) return result;
  const V x = delta * A2, limit(decay_limit<T>);
  const V below = choose(x < V(-decay_limit<T>), V(T(0)), result);
  return choose(limit < x, V(std::numeric_limits<T>::infinity()), below);
}

/// Whether the decays of channels are bounded, given the largest Δ of each and the bounds of A2.
template <class T>
inline bool within_decay_limit(const Simd<T>& delta, const T* A2_bound) {
  return xsimd::all(Simd<T>(delta * Simd<T>::load_aligned(A2_bound)) <= Simd<T>(decay_limit<T>));
}

/// The parameters of all channels in lines, padded with zeros: A·log2(e) as (lines, N, line), its largest
/// magnitude over the states, D and dt_bias as (lines · line).
template <class T>
struct ScanParameters {
  std::span<T> A2, A2_bound, D, dt_bias;

  ScanParameters(const SelectiveScanInputs<T>& in, std::size_t lines, Workspace& workspace) {
    constexpr std::size_t P = scan_line<T>;
    const std::size_t E = in.channels(), N = in.states();
    A2 = workspace.take<T>(lines * P * N);
    A2_bound = workspace.take<T>(lines * P);
    D = workspace.take<T>(lines * P);
    dt_bias = workspace.take<T>(lines * P);
    for (std::size_t e = 0; e < lines * P; ++e) {
      D[e] = in.D && e < E ? in.D(0, e) : T(0);
      dt_bias[e] = in.dt_bias && e < E ? in.dt_bias(0, e) : T(0);
    }
    using V = Simd<T>;
    for (std::size_t line = 0; line < lines; ++line) {
      T* const states = A2.data() + line * P * N;
      load_states(states, in.A.data, in.A.stride, line * P, E, N, FloatFormat<T>::log2e);
      for (std::size_t v = 0; v < P; v += simd_width<T>) {
        V bound(T(0));
        for (std::size_t n = 0; n < N; ++n) {
          const V value = V::load_aligned(states + n * P + v);
          // The decay adds a number's low bits to an exponent: those of a NaN must be none.
          choose(value == value, value, V(std::numeric_limits<T>::quiet_NaN()))
              .store_aligned(states + n * P + v);
          const V magnitude = xsimd::abs(value);
          // A bound that is NaN stays: its difference is added to what would follow it.
          bound = choose(magnitude <= bound, bound, V(magnitude + V(bound - bound)));
        }
        bound.store_aligned(A2_bound.data() + line * P + v);
      }
    }
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
