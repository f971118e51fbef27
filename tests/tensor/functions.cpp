#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <sdlora/tensor/evaluate.hpp>
#include <string>
#include <type_traits>

using namespace sdlora;

namespace {

/// Checks f(x), computed in batches and tails, against a function of long double.
template <class T, class Function, class Reference>
void check(const char* name, double first, double last, const Function& f, const Reference& reference) {
  constexpr std::size_t count = 1009;
  Tensor<T, Extents<count>> x;
  for (std::size_t i = 0; i < count; ++i) {
    x(i) = static_cast<T>(first + (last - first) * static_cast<double>(i) / (count - 1));
  }
  const auto y = evaluate(f(x));
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  constexpr int units = 16;
#else
  constexpr int units = 128;  // without the instruction, e^x loses |x| units
#endif
  const long double tolerance = units * static_cast<long double>(std::numeric_limits<T>::epsilon());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const long double expected = reference(static_cast<long double>(x(i)));
    if (!(std::fabs(static_cast<long double>(y(i)) - expected) <= tolerance * std::fabs(expected))) ++wrong;
  }
  CHECK_MESSAGE(wrong == 0, std::string(name));
}

}  // namespace

TEST_CASE_TEMPLATE("functions: agree with the standard library", T, float, double) {
  using L = long double;
  check<T>("exp", -80, 80, [](const auto& x) { return exp(x); }, [](L x) { return std::exp(x); });
  check<T>("log", 1e-3, 1e3, [](const auto& x) { return log(x); }, [](L x) { return std::log(x); });
  check<T>("sqrt", 0, 1e3, [](const auto& x) { return sqrt(x); }, [](L x) { return std::sqrt(x); });
  check<T>("rsqrt", 1e-3, 1e3, [](const auto& x) { return rsqrt(x); }, [](L x) { return 1 / std::sqrt(x); });
  check<T>("tanh", -20, 20, [](const auto& x) { return tanh(x); }, [](L x) { return std::tanh(x); });
  check<T>("square", -20, 20, [](const auto& x) { return square(x); }, [](L x) { return x * x; });
  check<T>("abs", -20, 20, [](const auto& x) { return abs(x); }, [](L x) { return std::fabs(x); });
  check<T>("negate", -20, 20, [](const auto& x) { return -x; }, [](L x) { return -x; });
  check<T>(
      "sigmoid", -80, 80, [](const auto& x) { return sigmoid(x); },
      [](L x) { return 1 / (1 + std::exp(-x)); });
  check<T>(
      "silu", -80, 80, [](const auto& x) { return silu(x); }, [](L x) { return x / (1 + std::exp(-x)); });
  check<T>(
      "softplus", -80, 80, [](const auto& x) { return softplus(x); },
      [](L x) { return std::fmax(x, L(0)) + std::log1p(std::exp(-std::fabs(x))); });
  check<T>("fma", -20, 20, [](const auto& x) { return fma(x, x, 3); }, [](L x) { return x * x + 3; });
  check<T>("divide", 1, 20, [](const auto& x) { return 7 / x; }, [](L x) { return 7 / x; });
}

TEST_CASE_TEMPLATE("functions: comparisons choose, strictly or not", T, float, double) {
  Tensor<T, Extents<19>> x;
  for (std::size_t i = 0; i < 19; ++i) x(i) = static_cast<T>(i) - 9;
  const auto less = evaluate(select(x < 0, 1, x * 0));
  const auto less_equal = evaluate(select(x <= 0, 1, x * 0));
  const auto greater = evaluate(select(x > 0, 1, x * 0));
  const auto greater_equal = evaluate(select(0 <= x, 1, x * 0));
  for (std::size_t i = 0; i < 19; ++i) {
    CHECK(less(i) == (i < 9 ? 1 : 0));
    CHECK(less_equal(i) == (i <= 9 ? 1 : 0));
    CHECK(greater(i) == (i > 9 ? 1 : 0));
    CHECK(greater_equal(i) == (i >= 9 ? 1 : 0));
  }
}

TEST_CASE_TEMPLATE("functions: max and min are NaN where one of the two is, in each lane", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Tensor<T, Extents<35>> x, y;
  for (std::size_t i = 0; i < 35; ++i) {
    x(i) = i % 4 == 1 || i % 4 == 3 ? nan : static_cast<T>(i);
    y(i) = i % 4 >= 2 ? nan : static_cast<T>(20);
  }
  const auto larger = max(x, y);
  const auto smaller = min(x, y);
  const auto largest = evaluate(larger), smallest = evaluate(smaller);
  const auto each_larger = larger.bind(Extents<35>{});
  const auto each_smaller = smaller.bind(Extents<35>{});
  for (std::size_t i = 0; i < 35; ++i) {
    CHECK(std::isnan(largest(i)) == (i % 4 != 0));
    CHECK(std::isnan(smallest(i)) == (i % 4 != 0));
    CHECK(std::isnan(each_larger.value(0, i)) == (i % 4 != 0));
    CHECK(std::isnan(each_smaller.value(0, i)) == (i % 4 != 0));
  }
  CHECK(largest(0) == 20);
  CHECK(smallest(4) == 4);
}

TEST_CASE_TEMPLATE("functions: select between two numbers", T, float, double) {
  Tensor<T, Extents<19>> x;
  for (std::size_t i = 0; i < 19; ++i) x(i) = static_cast<T>(i) - 9;
  const auto step = evaluate(select(x < 0, 0, 1.5));
  static_assert(std::is_same_v<typename decltype(step)::value_type, T>);
  for (std::size_t i = 0; i < 19; ++i) CHECK(step(i) == (i < 9 ? T(0) : T(1.5)));
}
