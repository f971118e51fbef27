#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <sdlora/tensor/evaluate.hpp>
#include <type_traits>

using namespace sdlora;

namespace {

template <class T>
Tensor<T, Extents<dyn, dyn>> matrix(std::size_t rows, std::size_t cols) {
  Tensor<T, Extents<dyn, dyn>> tensor(rows, cols);
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<T>(std::sin(1.7 * static_cast<double>(i) + 0.3));
  }
  return tensor;
}

}  // namespace

TEST_CASE_TEMPLATE("reduce: agrees with plain loops at every length", T, float, double) {
  const double epsilon = std::is_same_v<T, float> ? 1e-5 : 1e-13;
  for (std::size_t n = 1; n <= 150; ++n) {
    const auto x = matrix<T>(3, n);
    const auto total = evaluate(sum(x));
    const auto average = evaluate(mean(x));
    const auto largest = evaluate(max(x));
    const auto smallest = evaluate(min(x));
    const auto squares = evaluate(sum_of_squares(x));
    REQUIRE(total.extents() == Extents<3, 1>{});
    for (std::size_t i = 0; i < 3; ++i) {
      double a = 0, b = 0, high = -10, low = 10;
      for (std::size_t j = 0; j < n; ++j) {
        const double value = static_cast<double>(x(i, j));
        a += value;
        b += value * value;
        high = value > high ? value : high;
        low = value < low ? value : low;
      }
      CHECK(static_cast<double>(total(i, 0)) == doctest::Approx(a).epsilon(epsilon));
      CHECK(static_cast<double>(average(i, 0)) ==
            doctest::Approx(a / static_cast<double>(n)).epsilon(epsilon));
      CHECK(static_cast<double>(squares(i, 0)) == doctest::Approx(b).epsilon(epsilon));
      CHECK(static_cast<double>(largest(i, 0)) == high);
      CHECK(static_cast<double>(smallest(i, 0)) == low);
    }
  }
}

TEST_CASE_TEMPLATE("reduce: a NaN anywhere in a row makes its largest and smallest value NaN", T, float,
                   double) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::size_t n : {1U, 2U, 3U, 15U, 16U, 17U, 64U, 65U, 150U}) {
    for (std::size_t at = 0; at < n; ++at) {
      auto x = matrix<T>(2, n);
      x(1, at) = nan;
      const auto largest = evaluate(max(x));
      const auto smallest = evaluate(min(x));
      REQUIRE(!std::isnan(largest(0, 0)));
      REQUIRE(!std::isnan(smallest(0, 0)));
      REQUIRE(std::isnan(largest(1, 0)));
      REQUIRE(std::isnan(smallest(1, 0)));
      // As kernels compute it, element by element.
      REQUIRE(std::isnan(max(x).bind(Extents<dyn, dyn>(2, 1)).value(1, 0)));
      REQUIRE(std::isnan(min(x).bind(Extents<dyn, dyn>(2, 1)).value(1, 0)));
    }
  }
}

TEST_CASE("reduce: the result keeps the last extent as 1") {
  const Tensor<float, Extents<2, 3, 5>> a;
  static_assert(std::is_same_v<decltype(evaluate(sum(a))), Tensor<float, Extents<2, 3, 1>>>);
  static_assert(std::is_same_v<decltype(evaluate(a - mean(a))), Tensor<float, Extents<2, 3, 5>>>);
  const Tensor<float, Extents<dyn>> b(7);
  static_assert(std::is_same_v<decltype(evaluate(sum(b))), Tensor<float, Extents<1>>>);
  CHECK(evaluate(sum(b) + 3)(0) == 3);
}

TEST_CASE("reduce: inside of an expression, nested") {
  for (const std::size_t n : {1U, 7U, 16U, 31U, 130U}) {
    const auto x = matrix<double>(5, n);
    const auto softmax = evaluate(exp(x - max(x)) / sum(exp(x - max(x))));
    const auto normed = evaluate(x * rsqrt(mean(square(x)) + 1e-5));
    for (std::size_t i = 0; i < 5; ++i) {
      double total = 0, squares = 0;
      for (std::size_t j = 0; j < n; ++j) {
        total += std::exp(x(i, j));
        squares += x(i, j) * x(i, j);
      }
      for (std::size_t j = 0; j < n; ++j) {
        CHECK(softmax(i, j) == doctest::Approx(std::exp(x(i, j)) / total).epsilon(1e-13));
        CHECK(normed(i, j) ==
              doctest::Approx(x(i, j) / std::sqrt(squares / static_cast<double>(n) + 1e-5)).epsilon(1e-13));
      }
    }
  }
}

TEST_CASE("reduce: of an expression that repeats, and of more than two extents") {
  Tensor<float, Extents<dyn, dyn, dyn>> x(2, 3, 17);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i % 13);
  const auto column = matrix<float>(3, 1);
  const auto row = matrix<float>(1, 17);
  const auto weighted = evaluate(sum(x * row + column));
  REQUIRE(weighted.extents() == Extents<2, 3, 1>{});
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      double total = 0;
      for (std::size_t k = 0; k < 17; ++k) {
        total += static_cast<double>(x(i, j, k)) * static_cast<double>(row(0, k)) +
                 static_cast<double>(column(j, 0));
      }
      CHECK(static_cast<double>(weighted(i, j, 0)) == doctest::Approx(total).epsilon(1e-5));
    }
  }
  // A reduced row that is itself repeated over the rows of the result.
  const auto shifted = evaluate(x - sum(row));
  CHECK(shifted(1, 2, 5) == doctest::Approx(x(1, 2, 5) - evaluate(sum(row))(0, 0)));
}

TEST_CASE("reduce: of empty rows") {
  const Tensor<float, Extents<dyn, dyn>> x(3, 0);
  const auto total = evaluate(sum(x));
  const auto largest = evaluate(max(x));
  const auto average = evaluate(mean(x));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(total(i, 0) == 0);
    CHECK(largest(i, 0) == -std::numeric_limits<float>::infinity());
    CHECK(std::isnan(average(i, 0)));
  }
  CHECK(evaluate(x - sum(x)).size() == 0);
}
