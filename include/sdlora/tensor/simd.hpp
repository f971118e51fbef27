#pragma once

#include "instruction_set.hpp"

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The batch of values of type T that fills one vector register of the instruction set in use.
template <class T>
using Simd = xsimd::batch<T, xsimd::default_arch>;

/// The number of values in a `Simd<T>`.
template <class T>
inline constexpr std::size_t simd_width = Simd<T>::size;

}  // namespace SDLORA_SIMD_TAG

// The tag is inside of detail: a second `detail` inside of the tag would make the name ambiguous.
namespace detail {
inline namespace SDLORA_SIMD_TAG {

// What the mathematics below needs to know of a type that is a scalar or a batch of scalars.
template <class V>
struct SimdTraits {
  using Value = V;
  using Bits = std::conditional_t<sizeof(V) == 4, std::uint32_t, std::uint64_t>;
};
template <class T, class Arch>
struct SimdTraits<xsimd::batch<T, Arch>> {
  using Value = T;
  using Bits = xsimd::batch<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>, Arch>;
};
template <class V>
using SimdValue = typename SimdTraits<V>::Value;
template <class V>
using SimdBits = typename SimdTraits<V>::Bits;

// One rounding where the machine can. Two kernels are missing in xsimd: its AVX-512 fma is a·b + c and
// hopes for contraction, which neither rounds reliably nor happens with -ffp-contract=off; and beside
// wider batches those of 16 bytes are plain SSE to it.
template <class V>
SDLORA_INLINED inline V fused_multiply_add(V a, V b, V c) {
  [[maybe_unused]] constexpr bool single = sizeof(SimdValue<V>) == 4;
  if constexpr (std::is_floating_point_v<V>) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(FP_FAST_FMA)
    return std::fma(a, b, c);
#else
    return a * b + c;  // as the batches do on a machine without the instruction
#endif
#if XSIMD_WITH_AVX512F && XSIMD_VERSION_MAJOR < 10
  } else if constexpr (sizeof(V) == 64 && single) {
    return _mm512_fmadd_ps(a, b, c);
  } else if constexpr (sizeof(V) == 64) {
    return _mm512_fmadd_pd(a, b, c);
#endif
#if defined(__FMA__)
  } else if constexpr (sizeof(V) == 16 && single) {
    return _mm_fmadd_ps(a, b, c);
  } else if constexpr (sizeof(V) == 16) {
    return _mm_fmadd_pd(a, b, c);
#endif
  } else {
    return xsimd::fma(a, b, c);
  }
}

// The smaller (larger) of a and b; b where either is not a number.
template <class V>
SDLORA_INLINED inline V lesser(V a, V b) {
  if constexpr (std::is_floating_point_v<V>) {
    return a < b ? a : b;
  } else {
    return xsimd::min(a, b);
  }
}
template <class V>
SDLORA_INLINED inline V greater(V a, V b) {
  if constexpr (std::is_floating_point_v<V>) {
    return a > b ? a : b;
  } else {
    return xsimd::max(a, b);
  }
}
template <class V, class Condition>
SDLORA_INLINED inline V choose(Condition condition, V yes, V no) {
  if constexpr (std::is_floating_point_v<V>) {
    return condition ? yes : no;
  } else {
    return xsimd::select(condition, yes, no);
  }
}
// The larger (smaller) of a and b; NaN where either is.
template <class V>
SDLORA_INLINED inline V maximum(V a, V b) {
  return choose(a == a, greater(a, b), a);
}
template <class V>
SDLORA_INLINED inline V minimum(V a, V b) {
  return choose(a == a, lesser(a, b), a);
}
template <class V>
SDLORA_INLINED inline V absolute(V x) {
  if constexpr (std::is_floating_point_v<V>) {
    return std::fabs(x);
  } else {
    return xsimd::abs(x);
  }
}
template <class V>
SDLORA_INLINED inline V negative_absolute(V x) {
  if constexpr (std::is_floating_point_v<V>) {
    return -std::fabs(x);
  } else {
    return x | V(SimdValue<V>(-0.0));
  }
}

template <class V, class... Coefficients>
SDLORA_INLINED inline V horner(V x, SimdValue<V> last, Coefficients... descending) {
  V result(last);
  ((result = fused_multiply_add(result, x, V(descending))), ...);
  return result;
}

template <class T>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  static constexpr int mantissa_bits = 23;
  static constexpr float round_to_integer = 0x1.8p23f;  // added and subtracted, rounds to an integer
  static constexpr float min_exponent = -126.0F, end_exponent = 128.0F;
  static constexpr float log2e = 0x1.715476p+0f, log2e_low = 0x1.4ae0cp-26f;
  static constexpr float log_zero = -0x1.5d58a0p+6f, log_max = 0x1.62e42ep+6f;
  static constexpr std::uint32_t one = 0x3f800000, half_root = 0x3f3504f3, mantissa = 0x007fffff;
  static constexpr std::uint32_t integer_bits = 0x4b000000;
  static constexpr float integer_offset = 0x1p23f + 127.0F;
  static constexpr float subnormal_scale = 0x1p25f, subnormal_shift = 25.0F;
  static constexpr float ln2_high = 6.9313812256e-01F, ln2_low = 9.0580006145e-06F;
};
template <>
struct FloatFormat<double> {
  static constexpr int mantissa_bits = 52;
  static constexpr double round_to_integer = 0x1.8p52;
  static constexpr double min_exponent = -1022.0, end_exponent = 1024.0;
  static constexpr double log2e = 0x1.71547652b82fep+0, log2e_low = 0x1.777d0ffda0d24p-56;
  static constexpr double log_zero = -0x1.6232bdd7abcd3p+9, log_max = 0x1.62e42fefa39efp+9;
  static constexpr std::uint64_t one = 0x3ff0000000000000, half_root = 0x3fe6a09e667f3bcd;
  static constexpr std::uint64_t mantissa = 0x000fffffffffffff;
  static constexpr std::uint64_t integer_bits = 0x4330000000000000;
  static constexpr double integer_offset = 0x1p52 + 1023.0;
  static constexpr double subnormal_scale = 0x1p54, subnormal_shift = 54.0;
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
};

// 2^r for |r| ≤ 1/2. Minimax in the relative error with the first coefficient held at 1 (so that
// integer powers are exact): 2.6e-9 for float, 1.8e-17 for double, before rounding.
template <class V>
SDLORA_INLINED inline V exp2_unit(V r) {
  if constexpr (sizeof(SimdValue<V>) == 4) {
    return horner(r, 0.000155946770151F, 0.00134066438475F, 0.00961769297614F, 0.0555031055121F,
                  0.240226527829F, 0.693147214968F, 1.0F);
  } else {
    return horner(r, 4.0780717860928704165e-10, 7.0725703945407994337e-9, 1.0180647660573069343e-7,
                  1.3215442675452855182e-6, 0.00001525272738518977478, 0.00015403530441571850099,
                  0.001333355815343996974, 0.0096181291076070026171, 0.055504108664790394528,
                  0.24022650695910098006, 0.69314718055994569675, 1.0);
  }
}

// p · 2^n where `shifted` is n + round_to_integer: its low bits are n, added to p's exponent. Those of a
// NaN are its payload, and the sum may be any number: callers choose something else for NaN.
template <class V>
SDLORA_INLINED inline V scale_by_power(V p, V shifted) {
  using Format = FloatFormat<SimdValue<V>>;
  const auto n = std::bit_cast<SimdBits<V>>(shifted) << Format::mantissa_bits;
  return std::bit_cast<V>(SimdBits<V>(std::bit_cast<SimdBits<V>>(p) + n));
}

template <class V>
SDLORA_INLINED inline V exp2_generic(V x) {
  using T = SimdValue<V>;
  using Format = FloatFormat<T>;
  // At the lower limit 2^n loses its last exponent bit and the result is 0; at the upper it is infinity.
  x = greater(V(Format::min_exponent - T(1)), lesser(V(Format::end_exponent), x));
  const V shifted = x + V(Format::round_to_integer);
  const V n = shifted - V(Format::round_to_integer);
  return choose(x == x, scale_by_power(exp2_unit(V(x - n)), shifted), x);
}

// e^x for x below log_max; 0 up to log_zero, NaN for NaN. log2(e) is taken in two parts: one alone would
// cost |x| roundings.
template <class V>
SDLORA_INLINED inline V exp_below_overflow(V x) {
  using T = SimdValue<V>;
  using Format = FloatFormat<T>;
  const V shifted = fused_multiply_add(x, V(Format::log2e), V(Format::round_to_integer));
  const V minus_n = V(Format::round_to_integer) - shifted;
  V r = fused_multiply_add(x, V(Format::log2e), minus_n);
  r = fused_multiply_add(x, V(Format::log2e_low), r);
  // Where x is not above the limit, the larger of 0 and x is 0, or x itself, a NaN.
  return choose(V(Format::log_zero) < x, scale_by_power(exp2_unit(r), shifted), greater(V(T(0)), x));
}

template <class V>
SDLORA_INLINED inline V exp_generic(V x) {
  using T = SimdValue<V>;
  const V limit(FloatFormat<T>::log_max);
  return choose(x > limit, V(std::numeric_limits<T>::infinity()), exp_below_overflow(lesser(limit, x)));
}

// log(m · 2^k) of u = 1 + f' for u > 0, normal, plus a correction c ≪ 1; the method and the
// coefficients are those of fdlibm.
template <class V>
SDLORA_INLINED inline V log_corrected(V u, V exponent_shift, V c) {
  using T = SimdValue<V>;
  using Bits = SimdBits<V>;
  using Format = FloatFormat<T>;
  const Bits bits = Bits(std::bit_cast<Bits>(u) + Bits(Format::one - Format::half_root));
  const Bits exponent = Bits((bits >> Format::mantissa_bits) | Bits(Format::integer_bits));
  const V k = std::bit_cast<V>(exponent) - V(Format::integer_offset) - exponent_shift;
  const V f = std::bit_cast<V>(Bits((bits & Bits(Format::mantissa)) + Bits(Format::half_root))) - V(T(1));
  const V s = f / (f + V(T(2)));
  const V z = s * s;
  const V half_square = f * f * V(T(0.5));
  V series;
  if constexpr (sizeof(T) == 4) {
    series = horner(z, 0xf89e26p-26F, 0x91e9eep-25F, 0xccce13p-25F, 0xaaaaaap-24F);
  } else {
    series = horner(z, 1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                    2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                    6.666666666666735130e-01);
  }
  const V inner = fused_multiply_add(z, series, half_square);
  const V low = fused_multiply_add(s, inner, fused_multiply_add(k, V(Format::ln2_low), c));
  return fused_multiply_add(k, V(Format::ln2_high), V(f - (half_square - low)));
}

// The values of a logarithm outside of its regular domain, by its argument u (1 + x for log1p).
template <class V>
SDLORA_INLINED inline V log_special(V u, V result) {
  using Limits = std::numeric_limits<SimdValue<V>>;
  const V zero(SimdValue<V>(0)), infinity(Limits::infinity());
  result = choose(u == infinity, infinity, result);
  result = choose(u == zero, V(-infinity), result);
  result = choose(u < zero, V(Limits::quiet_NaN()), result);
  return choose(u == u, result, u);  // xsimd's u != u is false for NaN on AVX
}

template <class V>
SDLORA_INLINED inline V log_generic(V x) {
  using T = SimdValue<V>;
  using Format = FloatFormat<T>;
  const auto subnormal = x < V(std::numeric_limits<T>::min());
  const V u = choose(subnormal, V(x * V(Format::subnormal_scale)), x);
  const V shift = choose(subnormal, V(Format::subnormal_shift), V(T(0)));
  return log_special(x, log_corrected(u, shift, V(T(0))));
}

template <class V>
SDLORA_INLINED inline V log1p_generic(V x) {
  using T = SimdValue<V>;
  const V one(T(1));
  const V u = one + x;
  // What rounding 1 + x lost, to first order.
  const V lost = choose(x < one, V(x - (u - one)), V(one - (u - x)));
  return log_special(u, log_corrected(u, V(T(0)), V(lost / u)));
}

// log(1 + e) for 0 ≤ e ≤ 1.
template <class V>
SDLORA_INLINED inline V log1p_unit(V e) {
  if constexpr (sizeof(SimdValue<V>) == 4) {
    // Minimax in the relative error, 5.1e-9 before rounding: no division, no splitting.
    const V p =
        horner(e, -0.00331847401466F, 0.0202045892731F, -0.0576644475457F, 0.106805552877F, -0.153553957837F,
               0.196954002014F, -0.249585873186F, 0.333305113057F, -0.499999327629F);
    return fused_multiply_add(V(e * e), p, e);
  } else {
    using T = SimdValue<V>;
    const V u = V(T(1)) + e;
    return log_corrected(u, V(T(0)), V((e - (u - V(T(1)))) / u));
  }
}

template <class V>
SDLORA_INLINED inline V sigmoid_generic(V x) {
  using T = SimdValue<V>;
  const V e = exp_below_overflow(negative_absolute(x));
  return choose(x < V(T(0)), e, V(T(1))) / (V(T(1)) + e);
}

template <class V>
SDLORA_INLINED inline V softplus_generic(V x) {
  using T = SimdValue<V>;
  return greater(V(T(0)), x) + log1p_unit(exp_below_overflow(negative_absolute(x)));
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

// Functions of one value and of a batch: the same arithmetic, so a tail of scalars has the same bits
// as the batches before it. Those of batches are plain overloads, because templates would tie with
// xsimd's of the same name; those of values are templates, so that beside `using namespace sdlora` the
// C library's functions are still chosen without a doubt.

/// a·b + c with one rounding where the machine has the instruction.
/// @{
template <std::floating_point T>
inline T fma(T a, T b, T c) {
  return detail::fused_multiply_add(a, b, c);
}
inline Simd<float> fma(Simd<float> a, Simd<float> b, Simd<float> c) {
  return detail::fused_multiply_add(a, b, c);
}
inline Simd<double> fma(Simd<double> a, Simd<double> b, Simd<double> c) {
  return detail::fused_multiply_add(a, b, c);
}
/// @}

/// 2^x within 2 ulp of the exact power of the (rounded) argument, exact at integers. Where the result would
/// be subnormal it falls monotonically to 0 at one below the least exponent (an absolute error of at most
/// half the smallest normal number); infinity from the end of the range.
/// @{
template <std::floating_point T>
inline T exp2(T x) {
  return detail::exp2_generic(x);
}
inline Simd<float> exp2(Simd<float> x) { return detail::exp2_generic(x); }
inline Simd<double> exp2(Simd<double> x) { return detail::exp2_generic(x); }
/// @}

/// e^x within 2 ulp; 0 where the result would be subnormal.
/// @{
template <std::floating_point T>
inline T exp(T x) {
  return detail::exp_generic(x);
}
inline Simd<float> exp(Simd<float> x) { return detail::exp_generic(x); }
inline Simd<double> exp(Simd<double> x) { return detail::exp_generic(x); }
/// @}

/// The natural logarithm within 2 ulp, of subnormal arguments too.
/// @{
template <std::floating_point T>
inline T log(T x) {
  return detail::log_generic(x);
}
inline Simd<float> log(Simd<float> x) { return detail::log_generic(x); }
inline Simd<double> log(Simd<double> x) { return detail::log_generic(x); }
/// @}

/// log(1 + x), accurate near 0.
/// @{
template <std::floating_point T>
inline T log1p(T x) {
  return detail::log1p_generic(x);
}
inline Simd<float> log1p(Simd<float> x) { return detail::log1p_generic(x); }
inline Simd<double> log1p(Simd<double> x) { return detail::log1p_generic(x); }
/// @}

/// 1 / (1 + e^−x), accurate relative to the result in both directions.
/// @{
template <std::floating_point T>
inline T sigmoid(T x) {
  return detail::sigmoid_generic(x);
}
inline Simd<float> sigmoid(Simd<float> x) { return detail::sigmoid_generic(x); }
inline Simd<double> sigmoid(Simd<double> x) { return detail::sigmoid_generic(x); }
/// @}

/// x · sigmoid(x).
/// @{
template <std::floating_point T>
inline T silu(T x) {
  return x * sigmoid(x);
}
inline Simd<float> silu(Simd<float> x) { return x * sigmoid(x); }
inline Simd<double> silu(Simd<double> x) { return x * sigmoid(x); }
/// @}

/// log(1 + e^x), without a threshold: accurate relative to the result down to the underflow.
/// @{
template <std::floating_point T>
inline T softplus(T x) {
  return detail::softplus_generic(x);
}
inline Simd<float> softplus(Simd<float> x) { return detail::softplus_generic(x); }
inline Simd<double> softplus(Simd<double> x) { return detail::softplus_generic(x); }
/// @}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
