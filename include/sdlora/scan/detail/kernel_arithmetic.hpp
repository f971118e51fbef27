#pragma once

#include <utility>

namespace sdlora::detail {

inline constexpr float log2_e = 1.4426950408889634F;
inline constexpr float ln_2 = 0.6931471805599453F;

/// An index that is a constant and converts to one.
template <int I>
struct Index {
  static constexpr int value = I;
  constexpr operator int() const { return I; }  // NOLINT(google-explicit-constructor)
};

template <class F, int... I>
constexpr void unroll_over(F& f, std::integer_sequence<int, I...>) {
  (f(Index<I>{}), ...);
}

/// f(0) … f(N − 1) with constant indices, so that arrays indexed by them stay in registers.
template <int N, class F>
constexpr void unroll(F&& f) {
  unroll_over(f, std::make_integer_sequence<int, N>{});
}

constexpr int log2_of(int power_of_two) {
  int bits = 0;
  while ((1 << bits) < power_of_two) ++bits;
  return bits;
}

/// log(1 + e) for e in [0, 1]: minimax polynomial, relative error 1.5e-7. Without division and
/// logarithm, so that the special-function unit is left to the exponentials.
constexpr float log1p_of_fraction(float e) {
  float p = -0.003243980696424842F;
  p = p * e + 0.019851261749863625F;
  p = p * e - 0.056959159672260284F;
  p = p * e + 0.10603617131710052F;
  p = p * e - 0.15305569767951965F;
  p = p * e + 0.19675931334495544F;
  p = p * e - 0.24954132735729218F;
  p = p * e + 0.3332996368408203F;
  p = p * e - 0.4999990165233612F;
  return (p * e + 1.0F) * e;
}

/// exp(−|x|): the one exponential behind softplus and its slope.
template <class Block>
constexpr float exp_minus_abs(const Block& block, float x) {
  return block.exp2(block.absolute(x) * -log2_e);
}

/// log(1 + exp(x)), without overflow at either end.
template <class Block>
constexpr float kernel_softplus(const Block& block, float x) {
  return (x > 0.0F ? x : 0.0F) + log1p_of_fraction(exp_minus_abs(block, x));
}

struct SoftplusWithSlope {
  float value;
  float slope;
};

template <class Block>
constexpr SoftplusWithSlope softplus_with_slope(const Block& block, float x) {
  const float e = exp_minus_abs(block, x);
  const float r = block.reciprocal(1.0F + e);
  return {(x > 0.0F ? x : 0.0F) + log1p_of_fraction(e), x > 0.0F ? r : e * r};
}

/// 1 / (1 + exp(−x)).
template <class Block>
constexpr float sigmoid(const Block& block, float x) {
  return block.reciprocal(1.0F + block.exp2(-log2_e * x));
}

/// values[j] becomes values[j XOR order], by selections, for indices must be constants.
template <int Width>
constexpr void reorder_by_xor(float (&values)[Width], int order) {
  unroll<log2_of(Width)>([&](auto l) {
    constexpr int bit = 1 << decltype(l)::value;
    const bool swaps = (order & bit) != 0;
    unroll<Width>([&](auto j) {
      constexpr int low = decltype(j)::value;
      if constexpr ((low & bit) == 0) {
        const float first = values[low];
        values[low] = swaps ? values[low | bit] : first;
        values[low | bit] = swaps ? first : values[low | bit];
      }
    });
  });
}

/// The first place in an ascending list whose value is not below `wanted`.
template <class Integer>
constexpr int place_among(const Integer* list, int count, int wanted) {
  int first = 0;
  while (count > 0) {
    const int half = count / 2;
    if (list[first + half] < wanted) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

}  // namespace sdlora::detail
