#pragma once

#include "../../../tensor/bfloat16.hpp"
#include "../../../tensor/simd.hpp"

#include <cstdint>
#include <cstring>

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

// bfloat16 in memory, float in vector lanes. V is a batch of float, or float itself.

#if defined(__GNUC__) && !defined(__CUDACC__)

// As the compiler's own vectors, which widen and narrow in one instruction where xsimd has none.
template <std::size_t Lanes>
struct NarrowVector {
  using Halves [[gnu::vector_size(2 * Lanes)]] = std::uint16_t;
  using Words [[gnu::vector_size(4 * Lanes)]] = std::uint32_t;
};

template <class V>
SDLORA_INLINED inline V widen_lanes(const BFloat16* p) {
  using Vector = NarrowVector<V::size>;
  typename Vector::Halves halves;
  std::memcpy(&halves, p, sizeof(halves));
  const typename Vector::Words words = __builtin_convertvector(halves, typename Vector::Words) << 16;
  typename V::register_type result;
  std::memcpy(&result, &words, sizeof(result));
  return V(result);
}

// Rounds as BFloat16's constructor does.
template <class V>
SDLORA_INLINED inline typename NarrowVector<V::size>::Halves narrow_lanes(const V& v) {
  using Vector = NarrowVector<V::size>;
  using Words = typename Vector::Words;
  const typename V::register_type given = v;
  Words word;
  std::memcpy(&word, &given, sizeof(word));
  const Words upper = word >> 16;
  const auto nan = reinterpret_cast<Words>((word & 0x7fff'ffffU) > 0x7f80'0000U);
  const Words rounded = (word + 0x7fffU + (upper & 1U)) >> 16;
  const Words result = (nan & (upper | 0x40U)) | (~nan & rounded);
  return __builtin_convertvector(result, typename Vector::Halves);
}

#else

template <std::size_t Lanes>
struct NarrowVector {
  struct Halves {
    BFloat16 value[Lanes];
  };
};

template <class V>
inline V widen_lanes(const BFloat16* p) {
  alignas(64) float values[V::size];
  for (std::size_t i = 0; i < V::size; ++i) values[i] = static_cast<float>(p[i]);
  return V::load_aligned(values);
}

template <class V>
inline typename NarrowVector<V::size>::Halves narrow_lanes(const V& v) {
  alignas(64) float values[V::size];
  v.store_aligned(values);
  typename NarrowVector<V::size>::Halves result;
  for (std::size_t i = 0; i < V::size; ++i) result.value[i] = BFloat16(values[i]);
  return result;
}

#endif

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
