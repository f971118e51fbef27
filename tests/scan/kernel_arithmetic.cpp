// What kernels compute with on the host and on a GPU, against the host's functions in double.
#include <sdlora/scan/detail/kernel_arithmetic.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace sdlora;

namespace {

/// The functions of a block policy.
struct Functions {
  static float absolute(float x) { return std::fabs(x); }
  static float exp2(float x) { return std::exp2(x); }
  static float reciprocal(float x) { return 1.0F / x; }
};

double relative(float found, double expected) {
  return std::fabs(static_cast<double>(found) - expected) / std::fabs(expected);
}

}  // namespace

TEST_CASE("kernel arithmetic: log(1 + e) of a fraction") {
  double worst = 0;
  for (int i = 1; i <= 100000; ++i) {
    const float e = static_cast<float>(i) * 1e-5F;
    worst = std::max(worst, relative(detail::log1p_of_fraction(e), std::log1p(static_cast<double>(e))));
  }
  CHECK(worst < 2.5e-7);
  CHECK(detail::log1p_of_fraction(0.0F) == 0.0F);
  CHECK(detail::log1p_of_fraction(1e-30F) == 1e-30F);
}

TEST_CASE("kernel arithmetic: softplus, its slope, sigmoid") {
  double softplus = 0, slope = 0, sigmoid = 0;
  for (float x = -80.0F; x < 200.0F; x += 0.0037F) {
    const double exact = static_cast<double>(x);
    const double value = std::max(exact, 0.0) + std::log1p(std::exp(-std::fabs(exact)));
    const double logistic = 1.0 / (1.0 + std::exp(-exact));
    const auto both = detail::softplus_with_slope(Functions{}, x);
    REQUIRE(both.value == detail::kernel_softplus(Functions{}, x));
    softplus = std::max(softplus, relative(both.value, value));
    slope = std::max(slope, relative(both.slope, logistic));
    sigmoid = std::max(sigmoid, relative(detail::sigmoid(Functions{}, x), logistic));
  }
  // The exponent is x·log2(e) in float: 80 of them are wrong by 80 half units.
  CHECK(softplus < 5e-6);
  CHECK(slope < 5e-6);
  CHECK(sigmoid < 5e-6);
  for (const float x : {-1e30F, -200.0F}) {
    CHECK(detail::kernel_softplus(Functions{}, x) == 0.0F);
    CHECK(detail::softplus_with_slope(Functions{}, x).slope == 0.0F);
    CHECK(detail::sigmoid(Functions{}, x) == 0.0F);
  }
  for (const float x : {1e30F, 200.0F}) {
    CHECK(detail::kernel_softplus(Functions{}, x) == x);
    CHECK(detail::softplus_with_slope(Functions{}, x).slope == 1.0F);
    CHECK(detail::sigmoid(Functions{}, x) == 1.0F);
  }
}

TEST_CASE("kernel arithmetic: values in the order of their place XOR a number") {
  for (int order = 0; order < 8; ++order) {
    float values[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    detail::reorder_by_xor(values, order);
    for (int j = 0; j < 8; ++j) CHECK(values[j] == static_cast<float>(j ^ order));
  }
}

TEST_CASE("kernel arithmetic: the first place not below a value") {
  const std::vector<int> list{2, 3, 5, 8, 13};
  for (int wanted = 0; wanted < 15; ++wanted) {
    for (int count = 0; count <= 5; ++count) {
      const auto end = list.begin() + count;
      CHECK(detail::place_among(list.data(), count, wanted) ==
            std::lower_bound(list.begin(), end, wanted) - list.begin());
    }
  }
}
