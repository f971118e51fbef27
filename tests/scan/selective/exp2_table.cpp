#include <doctest/doctest.h>

#include <sdlora/scan/selective/detail/exp2_table.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>

namespace {

template <class T>
using Lanes = std::array<T, sdlora::simd_width<T>>;

template <class T>
Lanes<T> powers(const Lanes<T>& delta, const Lanes<T>& rate) {
  using V = sdlora::Simd<T>;
  Lanes<T> result;
  V(sdlora::detail::exp2_of_product(V::load_unaligned(delta.data()), V::load_unaligned(rate.data())))
      .store_unaligned(result.data());
  return result;
}

template <class T>
T power(T delta, T rate) {
  Lanes<T> deltas, rates;
  deltas.fill(delta);
  rates.fill(rate);
  return powers(deltas, rates).back();
}

}  // namespace

TEST_CASE_TEMPLATE("exp2_table: within 2 ulp of the product's power", T, float, double) {
  using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;
  constexpr T lowest = std::numeric_limits<T>::min_exponent - T(1), highest = 127;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponents(static_cast<double>(lowest), static_cast<double>(highest)),
      sizes(-6, 6);
  Wide worst = 0;
  for (int i = 0; i < 40'000; ++i) {
    Lanes<T> delta, rate;
    for (std::size_t j = 0; j < delta.size(); ++j) {
      // Near 0, where decays of a slow state lie, as well as far from it.
      const double x = exponents(random) * (i % 2 == 0 ? 1 : std::exp2(sizes(random) - 8));
      delta[j] = static_cast<T>(std::exp2(sizes(random)));
      rate[j] = static_cast<T>(x / static_cast<double>(delta[j]));
      if (static_cast<Wide>(delta[j]) * static_cast<Wide>(rate[j]) < static_cast<Wide>(lowest)) rate[j] = 0;
    }
    const Lanes<T> found = powers(delta, rate);
    for (std::size_t j = 0; j < delta.size(); ++j) {
      const Wide exact = std::exp2(static_cast<Wide>(delta[j]) * static_cast<Wide>(rate[j]));
      const T rounded = static_cast<T>(exact);
      const Wide ulp = static_cast<Wide>(std::nextafter(rounded, std::numeric_limits<T>::infinity())) -
                       static_cast<Wide>(rounded);
      worst = std::max(worst, std::fabs(static_cast<Wide>(found[j]) - exact) / ulp);
    }
  }
  CAPTURE(static_cast<double>(worst));
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  CHECK(worst <= 2);
#else
  CHECK(worst <= 2 - static_cast<Wide>(lowest) * std::log(Wide(2)) / 2);  // the product is rounded
#endif
}

TEST_CASE_TEMPLATE("exp2_table: exact at integers, on every lane", T, float, double) {
  constexpr int least = std::numeric_limits<T>::min_exponent - 1;
  for (int n = least; n <= 127; ++n) {
    Lanes<T> delta, rate;
    for (std::size_t j = 0; j < delta.size(); ++j) {
      delta[j] = T(0.5);
      rate[j] = static_cast<T>(2 * std::max(least, n - static_cast<int>(j)));
    }
    const Lanes<T> found = powers(delta, rate);
    for (std::size_t j = 0; j < delta.size(); ++j) {
      CHECK(found[j] == std::ldexp(T(1), std::max(least, n - static_cast<int>(j))));
    }
  }
}

TEST_CASE("exp2_table: rises with its argument across steps") {
  float before = 0;
  std::size_t falls = 0;
  for (int i = -4096; i <= 4096; ++i) {
    const float now = power(static_cast<float>(i) / 2048.0F, 1.0F);
    falls += now < before;
    before = now;
  }
  CHECK(falls == 0);
}

TEST_CASE("exp2_table: NaN of any payload gives NaN where there is a table") {
  if constexpr (sdlora::detail::exp2_steps<sdlora::Simd<float>> > 1) {
    for (const std::uint32_t bits : {0x7fc00000U, 0x7fc00015U, 0xffffffffU}) {
      CHECK(std::isnan(power(std::bit_cast<float>(bits), -1.0F)));
      CHECK(std::isnan(power(1.0F, std::bit_cast<float>(bits))));
    }
  }
}

TEST_CASE("exp2_table: a pack has the same bits as its parts") {
  using V = sdlora::Simd<float>;
  using Step = sdlora::detail::Pack<V, 4>;
  const Step found = sdlora::detail::exp2_of_product(
      Step::each([](std::size_t i) { return V(0.3F * static_cast<float>(i)); }), Step(-1.7F));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(found.part[i].get(0) == power(0.3F * static_cast<float>(i), -1.7F));
  }
}
