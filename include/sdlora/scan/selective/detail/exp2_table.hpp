#pragma once

#include "simd_pack.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

// 2^x by a table: x is rounded to the next of `exp2_steps` parts of one, whose power each lane looks up, and
// a short polynomial does the rest. Where looking up is one instruction, that is a seventh less work a state
// than the long polynomial of `exp2_unit`. Not for exp2 itself: within half a step of the largest exponent
// the looked up power is infinite, so callers stay below.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// Into how many parts one is cut: as many as lanes can look up by one instruction, in one or two registers;
/// 1 (no table) where there is none, and for double.
template <class V>
inline constexpr std::size_t exp2_steps = 1;
template <>
inline constexpr std::size_t exp2_steps<Simd<float>> = XSIMD_WITH_AVX512F && sizeof(Simd<float>) == 64 ? 32
                                                       : XSIMD_WITH_AVX2 && sizeof(Simd<float>) == 32  ? 8
                                                                                                       : 1;
template <class V, std::size_t Count>
inline constexpr std::size_t exp2_steps<Pack<V, Count>> = exp2_steps<V>;

/// The bits of 2^(j / Steps), less what `exp2_of_step` adds to them for j itself.
template <std::size_t Steps>
struct Exp2Table {
  alignas(64) std::array<std::uint32_t, Steps> bits{};

  constexpr Exp2Table() {
    constexpr float powers[32] = {
        0x1.000000p+0F, 0x1.059b0ep+0F, 0x1.0b5586p+0F, 0x1.11301ep+0F, 0x1.172b84p+0F, 0x1.1d4874p+0F,
        0x1.2387a6p+0F, 0x1.29e9e0p+0F, 0x1.306fe0p+0F, 0x1.371a74p+0F, 0x1.3dea64p+0F, 0x1.44e086p+0F,
        0x1.4bfdaep+0F, 0x1.5342b6p+0F, 0x1.5ab07ep+0F, 0x1.6247ecp+0F, 0x1.6a09e6p+0F, 0x1.71f75ep+0F,
        0x1.7a1148p+0F, 0x1.82589ap+0F, 0x1.8ace54p+0F, 0x1.93737cp+0F, 0x1.9c4918p+0F, 0x1.a5503cp+0F,
        0x1.ae89fap+0F, 0x1.b7f770p+0F, 0x1.c199bep+0F, 0x1.cb720ep+0F, 0x1.d5818ep+0F, 0x1.dfc974p+0F,
        0x1.ea4afap+0F, 0x1.f50766p+0F};
    for (std::size_t j = 0; j < Steps; ++j) {
      bits[j] =
          std::bit_cast<std::uint32_t>(powers[j * (32 / Steps)]) -
          static_cast<std::uint32_t>(j * ((std::size_t{1} << FloatFormat<float>::mantissa_bits) / Steps));
    }
  }
};
template <std::size_t Steps>
inline constexpr Exp2Table<Steps> exp2_table;

// The table's value of the low bits of each lane; xsimd has no such look-up.
#if XSIMD_WITH_AVX512F
SDLORA_INLINED inline __m512i look_up(const Exp2Table<32>& table, __m512i n) {
  return _mm512_permutex2var_epi32(_mm512_load_si512(table.bits.data()), n,
                                   _mm512_load_si512(table.bits.data() + 16));
}
#endif
#if XSIMD_WITH_AVX2
SDLORA_INLINED inline __m256i look_up(const Exp2Table<8>& table, __m256i n) {
  return _mm256_permutevar8x32_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(table.bits.data())),
                                     n);
}
#endif

/// 2^(n / exp2_steps) where the low bits of `shifted` are n: those above the table's are added to the
/// exponent.
template <class V>
SDLORA_INLINED inline V exp2_of_step(V shifted) {
  constexpr int shift = FloatFormat<SimdValue<V>>::mantissa_bits - std::countr_zero(exp2_steps<V>);
  const auto n = std::bit_cast<SimdBits<V>>(shifted);
  const SimdBits<V> power = look_up(exp2_table<exp2_steps<V>>, n);
  return std::bit_cast<V>(SimdBits<V>(power + (n << shift)));
}
// Part by part: with all parts in step, 16 registers do not hold what is in hand.
template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> exp2_of_step(Pack<V, Count> shifted) {
  return Pack<V, Count>::each([&](std::size_t i) SDLORA_INLINED { return exp2_of_step(shifted.part[i]); });
}

/// 2^(delta · rate), whose product is not rounded; within 2 ulp for float, exact at integers. For products of
/// normal powers, and at most 127; NaN for NaN where there is a table, else anything.
template <class V>
SDLORA_INLINED inline V exp2_of_product(V delta, V rate) {
  using T = SimdValue<V>;
  constexpr std::size_t steps = exp2_steps<V>;
  const V round(FloatFormat<T>::round_to_integer / T(steps));
  const V shifted = fused_multiply_add(delta, rate, round);
  const V r = fused_multiply_add(delta, rate, V(round - shifted));
  if constexpr (steps == 1) {
    return scale_by_power(exp2_unit(r), shifted);
  } else {
    // Minimax in the relative error with the first coefficient held at 1, as in exp2_unit: 5.4e-8 and 2.7e-8.
    const V power = exp2_of_step(shifted);
    const V slope = steps == 32 ? horner(r, 0.240226497387F, 0.693157329803F)
                                : horner(r, 0.0554962218032F, 0.240257629857F, 0.69314721426F);
    return fused_multiply_add(power, V(slope * r), power);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
