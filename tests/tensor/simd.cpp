#include <doctest/doctest.h>

#include <sdlora/tensor/simd.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

// Precise enough to judge T: double for float, the 80-bit type for double.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;

template <class T>
Wide<T> ulp(Wide<T> value) {
  const T magnitude = std::max(static_cast<T>(std::fabs(value)), std::numeric_limits<T>::min());
  return static_cast<Wide<T>>(std::nextafter(magnitude, std::numeric_limits<T>::infinity())) -
         static_cast<Wide<T>>(magnitude);
}

// The largest error in ulp over the arguments, batch by batch; also that scalars give the same bits.
template <class T, class Function, class Exact>
double worst_ulp(const std::vector<T>& arguments, Function f, Exact exact) {
  constexpr std::size_t width = sdlora::simd_width<T>;
  double worst = 0;
  std::size_t different = 0;
  for (std::size_t i = 0; i + width <= arguments.size(); i += width) {
    std::array<T, width> results;
    const auto batch = sdlora::Simd<T>::load_unaligned(&arguments[i]);
    sdlora::Simd<T>(f(batch)).store_unaligned(results.data());
    for (std::size_t j = 0; j < width; ++j) {
      const T x = arguments[i + j];
      const T scalar = f(x);
      different += std::memcmp(&scalar, &results[j], sizeof(T)) != 0;
      const auto expected = exact(static_cast<Wide<T>>(x));
      const auto error = std::fabs(static_cast<Wide<T>>(results[j]) - expected) / ulp<T>(expected);
      if (!(static_cast<double>(error) <= worst)) worst = static_cast<double>(error);
    }
  }
#if defined(__FMA__)
  CHECK(different == 0);
#endif
  return worst;
}

template <class T>
std::vector<T> sweep(double first, double last, std::size_t count) {
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(
        static_cast<T>(first + (last - first) * static_cast<double>(i) / static_cast<double>(count)));
  }
  return values;
}

// Signed powers spread over magnitudes: the neighbourhood of zero matters as much as the range.
template <class T>
std::vector<T> magnitudes(double from_exponent, double to_exponent, double sign, std::size_t count) {
  std::vector<T> values = sweep<T>(from_exponent, to_exponent, count);
  for (T& value : values) value = static_cast<T>(sign * std::exp2(static_cast<double>(value)));
  return values;
}

constexpr std::size_t many = 200'000;

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr double slack = 1;
#else
constexpr double slack = 300;  // without fused operations the reduced argument of exp loses bits
#endif
#if defined(__x86_64__)
constexpr double elsewhere = 0;
#else
constexpr double elsewhere = 0.5;  // NEON was measured 3.1 and 4.1 ulp from sigmoid and silu
#endif

}  // namespace

#define EACH_TYPE float, double

TEST_CASE_TEMPLATE("exp2 is within 2 ulp", T, EACH_TYPE) {
  const auto f = [](auto x) { return sdlora::exp2(x); };
  const auto exact = [](Wide<T> x) { return std::exp2(x); };
  const double low = std::numeric_limits<T>::min_exponent - 1, high = std::numeric_limits<T>::max_exponent;
  CHECK(worst_ulp(sweep<T>(low, high, many), f, exact) <= 2);
  CHECK(worst_ulp(sweep<T>(-2, 2, many), f, exact) <= 2);
  CHECK(worst_ulp(magnitudes<T>(-60, 0, -1, many), f, exact) <= 2);
  for (int n = static_cast<int>(low); n < static_cast<int>(high); ++n) {
    REQUIRE(sdlora::exp2(static_cast<T>(n)) == std::ldexp(T(1), n));
  }
}

TEST_CASE_TEMPLATE("exp2 far outside of its range", T, EACH_TYPE) {
  const T infinity = std::numeric_limits<T>::infinity();
  for (const T x : {T(-1e4), T(-1e30), -std::numeric_limits<T>::max(), -infinity})
    CHECK(sdlora::exp2(x) == 0);
  const T least = T(std::numeric_limits<T>::min_exponent - 1);
  for (T x = T(-1e4); x <= least - 1; x += T(0.37)) REQUIRE(sdlora::exp2(sdlora::Simd<T>(x)).get(0) == 0);
  T before = 0;
  for (int i = 0; i <= 1000; ++i) {  // where results would be subnormal
    const T x = least - 1 + T(i) / 1000, value = sdlora::exp2(x);
    REQUIRE(value >= before);
    REQUIRE(std::fabs(value - std::exp2(x)) <= std::numeric_limits<T>::min() / 2);
    before = value;
  }
  CHECK(before == std::numeric_limits<T>::min());
  for (const T x :
       {T(std::numeric_limits<T>::max_exponent), T(1e5), std::numeric_limits<T>::max(), infinity}) {
    CHECK(sdlora::exp2(x) == infinity);
    CHECK(sdlora::exp2(sdlora::Simd<T>(x)).get(0) == infinity);
  }
  CHECK(std::isnan(sdlora::exp2(std::numeric_limits<T>::quiet_NaN())));
  CHECK(std::isnan(sdlora::exp2(sdlora::Simd<T>(std::numeric_limits<T>::quiet_NaN())).get(0)));
}

TEST_CASE_TEMPLATE("exp is within 2 ulp", T, EACH_TYPE) {
  const auto f = [](auto x) { return sdlora::exp(x); };
  const auto exact = [](Wide<T> x) { return std::exp(x); };
  const double low = std::log(static_cast<double>(std::numeric_limits<T>::min())) * 0.9999;
  const double high = std::log(static_cast<double>(std::numeric_limits<T>::max())) * 0.9999;
  CHECK(worst_ulp(sweep<T>(low, high, many), f, exact) <= 2 * slack);
  CHECK(worst_ulp(sweep<T>(-1, 1, many), f, exact) <= 2 * slack);
  const T infinity = std::numeric_limits<T>::infinity();
  for (const T x : {T(-1e4), -std::numeric_limits<T>::max(), -infinity}) CHECK(sdlora::exp(x) == 0);
  for (const T x : {T(1e4), std::numeric_limits<T>::max(), infinity}) CHECK(sdlora::exp(x) == infinity);
  CHECK(std::isnan(sdlora::exp(sdlora::Simd<T>(std::numeric_limits<T>::quiet_NaN())).get(0)));
}

TEST_CASE_TEMPLATE("a NaN of any sign and payload comes out as NaN, alone and in each lane", T, EACH_TYPE) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr std::size_t width = sdlora::simd_width<T>;
  const auto check = [](auto f) {
    const Bits quiet = std::bit_cast<Bits>(std::numeric_limits<T>::quiet_NaN());
    constexpr Bits sign = Bits(1) << (sizeof(T) * 8 - 1);
    for (const Bits payload : {Bits(0), Bits(1), Bits(2), Bits(0x80), Bits(0x155), Bits(~sign)}) {
      for (const Bits bits : {Bits(quiet | payload), Bits(quiet | payload | sign)}) {
        const T x = std::bit_cast<T>(bits);
        REQUIRE(std::isnan(T(f(x))));
        for (std::size_t lane = 0; lane < width; ++lane) {
          std::array<T, width> values;
          values.fill(T(0.5));
          values[lane] = x;
          sdlora::Simd<T>(f(sdlora::Simd<T>::load_unaligned(values.data()))).store_unaligned(values.data());
          for (std::size_t i = 0; i < width; ++i) REQUIRE(std::isnan(values[i]) == (i == lane));
        }
      }
    }
  };
  SUBCASE("exp2") {
    check([](auto x) { return sdlora::exp2(x); });
  }
  SUBCASE("exp") {
    check([](auto x) { return sdlora::exp(x); });
  }
  SUBCASE("log") {
    check([](auto x) { return sdlora::log(x); });
  }
  SUBCASE("log1p") {
    check([](auto x) { return sdlora::log1p(x); });
  }
  SUBCASE("sigmoid") {
    check([](auto x) { return sdlora::sigmoid(x); });
  }
  SUBCASE("silu") {
    check([](auto x) { return sdlora::silu(x); });
  }
  SUBCASE("softplus") {
    check([](auto x) { return sdlora::softplus(x); });
  }
}

TEST_CASE_TEMPLATE("exp is 0 exactly where its result would be subnormal", T, EACH_TYPE) {
  const T least = std::numeric_limits<T>::min();
  T x = static_cast<T>(std::log(static_cast<Wide<T>>(least)));
  while (std::exp(static_cast<Wide<T>>(x)) < static_cast<Wide<T>>(least)) x = std::nextafter(x, T(0));
  while (std::exp(static_cast<Wide<T>>(x)) >= static_cast<Wide<T>>(least)) x = std::nextafter(x, T(-1000));
  CHECK(sdlora::exp(x) == 0);
  CHECK(sdlora::exp(std::nextafter(x, T(0))) > least * T(0.99));
}

TEST_CASE_TEMPLATE("log and log1p are within 2 ulp", T, EACH_TYPE) {
  const auto log = [](auto x) { return sdlora::log(x); };
  const auto exact_log = [](Wide<T> x) { return std::log(x); };
  const double low = std::numeric_limits<T>::min_exponent - 20, high = std::numeric_limits<T>::max_exponent;
  CHECK(worst_ulp(magnitudes<T>(low, high - 0.01, 1, many), log, exact_log) <= 2);
  CHECK(worst_ulp(sweep<T>(0.5, 2, many), log, exact_log) <= 2);

  const auto log1p = [](auto x) { return sdlora::log1p(x); };
  const auto exact_log1p = [](Wide<T> x) { return std::log1p(x); };
  CHECK(worst_ulp(magnitudes<T>(-100, high - 0.01, 1, many), log1p, exact_log1p) <= 2.5);
  CHECK(worst_ulp(magnitudes<T>(-100, -0.01, -1, many), log1p, exact_log1p) <= 2.5);
  CHECK(worst_ulp(sweep<T>(-0.9, 1, many), log1p, exact_log1p) <= 2.5);

  const T infinity = std::numeric_limits<T>::infinity();
  CHECK(sdlora::log(T(1)) == 0);
  CHECK(sdlora::log(T(0)) == -infinity);
  CHECK(sdlora::log(infinity) == infinity);
  CHECK(std::isnan(sdlora::log(T(-1))));
  CHECK(sdlora::log1p(T(0)) == 0);
  CHECK(sdlora::log1p(T(-1)) == -infinity);
  CHECK(sdlora::log1p(infinity) == infinity);
  CHECK(std::isnan(sdlora::log1p(T(-2))));
  CHECK(std::isnan(sdlora::log1p(std::numeric_limits<T>::quiet_NaN())));
}

TEST_CASE_TEMPLATE("sigmoid, silu and softplus are accurate in both directions", T, EACH_TYPE) {
  using W = Wide<T>;
  const double low = std::log(static_cast<double>(std::numeric_limits<T>::min())) * 0.99;
  const auto exact_sigmoid = [](W x) { return 1 / (1 + std::exp(-x)); };
  const auto exact_softplus = [](W x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  };
  const auto sigmoid = [](auto x) { return sdlora::sigmoid(x); };
  const auto silu = [](auto x) { return sdlora::silu(x); };
  const auto softplus = [](auto x) { return sdlora::softplus(x); };
  const auto exact_silu = [&](W x) { return x * exact_sigmoid(x); };
  for (const auto& arguments :
       {sweep<T>(low, 100, many), sweep<T>(-2, 2, many), magnitudes<T>(-50, 5, -1, many)}) {
    CHECK(worst_ulp(arguments, sigmoid, exact_sigmoid) <= (3 + elsewhere) * slack);
    CHECK(worst_ulp(arguments, silu, exact_silu) <= (4 + elsewhere) * slack);
    CHECK(worst_ulp(arguments, softplus, exact_softplus) <= 3 * slack);
  }
  for (const T x : {T(-1e4), -std::numeric_limits<T>::max()}) {
    CHECK(sdlora::sigmoid(x) == 0);
    CHECK(sdlora::silu(x) == 0);
    CHECK(sdlora::softplus(x) == 0);
  }
  for (const T x : {T(1e4), T(1e30)}) {
    CHECK(sdlora::sigmoid(x) == 1);
    CHECK(sdlora::silu(x) == x);
    CHECK(sdlora::softplus(x) == x);
  }
}

TEST_CASE_TEMPLATE("fma rounds once where the machine can", T, EACH_TYPE) {
  const T step = std::numeric_limits<T>::epsilon();
  volatile T factors[] = {1 + step, 1 - step};  // volatile: not to be computed by the compiler
  const T a = factors[0], b = factors[1];
  const T in_batch = sdlora::fma(sdlora::Simd<T>(a), sdlora::Simd<T>(b), sdlora::Simd<T>(T(-1))).get(0);
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  CHECK(sdlora::fma(a, b, T(-1)) == -step * step);
  CHECK(in_batch == -step * step);
#else
  CHECK(sdlora::fma(a, b, T(-1)) == in_batch);
#endif
  CHECK(sdlora::fma(T(2), T(3), T(4)) == 10);
}
