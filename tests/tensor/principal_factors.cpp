#include "support/numbers.hpp"

#include <sdlora/tensor/principal_factors.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Σ_k values[k] · u_k·v_kᵀ of orthonormal u and v: rows of two Householder reflections.
std::vector<double> with_singular_values(std::size_t rows, std::size_t cols,
                                         const std::vector<double>& values) {
  const auto reflection = [](std::size_t n, std::uint64_t seed) {
    std::vector<double> v = Normals(seed).vector<double>(n);
    double squares = 0.0;
    for (const double x : v) squares += x * x;
    return [v, squares](std::size_t i, std::size_t k) {
      return (i == k ? 1.0 : 0.0) - 2.0 * v[i] * v[k] / squares;
    };
  };
  const auto u = reflection(rows, 1), v = reflection(cols, 2);
  std::vector<double> w(rows * cols, 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t k = 0; k < values.size(); ++k) w[i * cols + j] += values[k] * u(i, k) * v(j, k);
    }
  }
  return w;
}

std::vector<double> product(const PrincipalFactors& f, std::size_t rows, std::size_t cols, std::size_t rank) {
  std::vector<double> w(rows * cols, 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t k = 0; k < rank; ++k) w[i * cols + j] += f.B[i * rank + k] * f.A[k * cols + j];
    }
  }
  return w;
}

}  // namespace

TEST_CASE("principal_factors: the part of the largest singular values, shared evenly by both factors") {
  struct Case {
    std::size_t rows, cols, rank;
  };
  for (const Case c :
       {Case{31, 17, 3}, Case{17, 31, 3}, Case{5, 5, 5}, Case{1, 7, 1}, Case{7, 1, 1}, Case{41, 37, 2}}) {
    CAPTURE(c.rows);
    CAPTURE(c.cols);
    std::vector<double> values;  // more of them than the iteration has columns
    for (std::size_t k = 0; k < std::min(c.rows, c.cols); ++k) values.push_back(8.0 * std::pow(0.7, k));
    const std::vector<double> w = with_singular_values(c.rows, c.cols, values);
    const PrincipalFactors found =
        principal_factors(MatrixView<const double>(w.data(), c.rows, c.cols), c.rank);
    values.resize(c.rank);
    const std::vector<double> expected = with_singular_values(c.rows, c.cols, values);
    CHECK(relative_error(product(found, c.rows, c.cols, c.rank), expected) < 1e-9);
    for (std::size_t k = 0; k < c.rank; ++k) {
      double b = 0.0, a = 0.0;
      for (std::size_t i = 0; i < c.rows; ++i) b += found.B[i * c.rank + k] * found.B[i * c.rank + k];
      for (std::size_t j = 0; j < c.cols; ++j) a += found.A[k * c.cols + j] * found.A[k * c.cols + j];
      CHECK(b == doctest::Approx(values[k]).epsilon(1e-9));
      CHECK(a == doctest::Approx(values[k]).epsilon(1e-9));
    }
  }
}

TEST_CASE("principal_factors: a matrix of less than full rank, one of zeros, floats, rows with gaps") {
  const std::vector<double> thin = with_singular_values(6, 9, {2.0});
  CHECK(relative_error(product(principal_factors(MatrixView<const double>(thin.data(), 6, 9), 4), 6, 9, 4),
                       thin) < 1e-12);
  const std::vector<double> zeros(12, 0.0);
  const PrincipalFactors none = principal_factors(MatrixView<const double>(zeros.data(), 3, 4), 2);
  for (const double b : none.B) CHECK(b == 0.0);
  const std::vector<float> floats(thin.begin(), thin.end());
  const PrincipalFactors of_floats = principal_factors(MatrixView<const float>(floats.data(), 6, 9), 1);
  CHECK(relative_error(product(of_floats, 6, 9, 1), thin) < 1e-6);
  std::vector<double> gaps(6 * 10, 100.0);
  for (std::size_t i = 0; i < 54; ++i) gaps[i / 9 * 10 + i % 9] = thin[i];
  const PrincipalFactors of_gaps = principal_factors(MatrixView<const double>(gaps.data(), 6, 9, 10), 1);
  CHECK(relative_error(product(of_gaps, 6, 9, 1), thin) < 1e-12);
}

TEST_CASE("principal_factors: ranks that there are not") {
  const std::vector<double> w(12, 1.0);
  for (const std::size_t rank : {0U, 4U}) {
    CHECK_THROWS_WITH_AS(principal_factors(MatrixView<const double>(w.data(), 3, 4), rank),
                         doctest::Contains("expected a rank from 1 to 3 for a matrix (3, 4), found"),
                         ArgumentError);
  }
}
