#pragma once

#include <sdlora/tensor/evaluate.hpp>

#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

// One body for the host, the emulator and the GPU. A `Transfer` names its `Device` and has
//   put(Tensor<T, E, Cpu>) → Tensor<T, E, Device>,  get(Tensor<T, E, Device>) → Tensor<T, E, Cpu>

namespace sdlora_test {

template <class T>
using HostMatrix = sdlora::Tensor<T, sdlora::Extents<sdlora::dyn, sdlora::dyn>>;

template <class T>
HostMatrix<T> random_matrix(Normals& normals, std::size_t rows, std::size_t columns) {
  HostMatrix<T> result(rows, columns);
  for (std::size_t i = 0; i < result.size(); ++i) result.data()[i] = static_cast<T>(normals.next());
  return result;
}

/// The largest difference to f(row, column), relative to what is expected or 1; infinite for a value that is
/// not a number.
template <class T, class F>
double error_of(const HostMatrix<T>& found, F&& f) {
  double worst = 0;
  for (std::size_t i = 0; i < found.extent(0); ++i) {
    for (std::size_t j = 0; j < found.extent(1); ++j) {
      const double expected = f(i, j);
      const double error =
          std::fabs(static_cast<double>(found(i, j)) - expected) / std::fmax(1.0, std::fabs(expected));
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::fmax(worst, error);
    }
  }
  return worst;
}

template <class T, class Transfer>
void check_expressions(const Transfer& transfer,
                       const std::vector<std::pair<std::size_t, std::size_t>>& shapes) {
  using namespace sdlora;
  using Device = typename Transfer::Device;
  using Matrix = Tensor<T, Extents<dyn, dyn>, Device>;
  const double tolerance = sizeof(T) == sizeof(float) ? 2e-6 : 1e-14;
  Normals normals(17);
  for (const auto& [rows, columns] : shapes) {
    const std::string title = std::to_string(rows) + " x " + std::to_string(columns);
    INFO(title);
    const HostMatrix<T> a = random_matrix<T>(normals, rows, columns),
                        b = random_matrix<T>(normals, rows, columns),
                        across = random_matrix<T>(normals, 1, columns),
                        down = random_matrix<T>(normals, rows, 1);
    const Matrix x = transfer.put(a), y = transfer.put(b), row = transfer.put(across),
                 column = transfer.put(down);
    const auto at = [](const HostMatrix<T>& m, std::size_t i, std::size_t j) {
      return static_cast<double>(m(m.extent(0) == 1 ? 0 : i, m.extent(1) == 1 ? 0 : j));
    };

    // Of one shape, repeated rows and columns.
    const Matrix same = x * y + T(2);
    CHECK(error_of(transfer.get(same), [&](auto i, auto j) { return at(a, i, j) * at(b, i, j) + 2; }) <
          tolerance);
    const Matrix repeated = x * row - column;
    CHECK(error_of(transfer.get(repeated), [&](auto i, auto j) {
            return at(a, i, j) * at(across, i, j) - at(down, i, j);
          }) < tolerance);

    // Functions.
    const Matrix functions = softplus(x) + silu(y) * sigmoid(x) - select(x < y, exp(x), tanh(y));
    CHECK(error_of(transfer.get(functions), [&](auto i, auto j) {
            const double p = at(a, i, j), q = at(b, i, j);
            const auto logistic = [](double v) { return 1 / (1 + std::exp(-v)); };
            return std::log1p(std::exp(p)) + q * logistic(q) * logistic(p) -
                   (p < q ? std::exp(p) : std::tanh(q));
          }) < 4 * tolerance);

    // Reductions, one inside of another.
    const auto mean_of = [&](const HostMatrix<T>& m, std::size_t i) {
      double total = 0;
      for (std::size_t j = 0; j < columns; ++j) total += at(m, i, j);
      return total / static_cast<double>(columns);
    };
    const auto variance_of = [&](const HostMatrix<T>& m, std::size_t i) {
      double total = 0;
      for (std::size_t j = 0; j < columns; ++j)
        total += (at(m, i, j) - mean_of(m, i)) * (at(m, i, j) - mean_of(m, i));
      return total / static_cast<double>(columns);
    };
    const Matrix normed = (x - mean(x)) * rsqrt(mean(square(x - mean(x))) + T(0.5)) * row;
    std::vector<double> means, scales;
    for (std::size_t i = 0; i < rows; ++i) {
      means.push_back(mean_of(a, i));
      scales.push_back(1 / std::sqrt(variance_of(a, i) + 0.5));
    }
    CHECK(error_of(transfer.get(normed), [&](auto i, auto j) {
            return (at(a, i, j) - means[i]) * scales[i] * at(across, i, j);
          }) < 4 * tolerance);
    const Matrix largest = max(x) - min(y);
    REQUIRE(largest.extent(1) == 1);
    CHECK(error_of(transfer.get(largest), [&](auto i, auto) {
            double top = -1e300, bottom = 1e300;
            for (std::size_t j = 0; j < columns; ++j) {
              top = std::fmax(top, at(a, i, j));
              bottom = std::fmin(bottom, at(b, i, j));
            }
            return top - bottom;
          }) < tolerance);

    // Into what is there: in place, by its own row, and where a copy is needed.
    Matrix target = x;
    target += y * row;
    target -= T(0.25);
    target *= column;
    const auto expected = [&](std::size_t i, std::size_t j) {
      return (at(a, i, j) + at(b, i, j) * at(across, i, j) - 0.25) * at(down, i, j);
    };
    CHECK(error_of(transfer.get(target), expected) < tolerance);
    target = target - max(target);
    std::vector<double> tops(rows, -1e300);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) tops[i] = std::fmax(tops[i], expected(i, j));
    }
    CHECK(error_of(transfer.get(target), [&](auto i, auto j) { return expected(i, j) - tops[i]; }) <
          2 * tolerance);
    Matrix disturbed = x;
    const TensorView<const T, Extents<1, dyn>, Device> first_row(disturbed.data(), Extents<1, dyn>(columns));
    disturbed += first_row;
    CHECK(error_of(transfer.get(disturbed), [&](auto i, auto j) { return at(a, i, j) + at(a, 0, j); }) <
          tolerance);
    assign(target.view(), row + T(1));
    CHECK(error_of(transfer.get(target), [&](auto i, auto j) { return at(across, i, j) + 1; }) < tolerance);

    // Temporaries move into the expression; zeros, copies, moves.
    const auto sum_of_temporaries = transfer.put(a) + transfer.put(b);
    const Matrix from_temporaries = sum_of_temporaries;
    CHECK(error_of(transfer.get(from_temporaries),
                   [&](auto i, auto j) { return at(a, i, j) + at(b, i, j); }) < tolerance);
    Matrix zeros(rows, columns);
    CHECK(error_of(transfer.get(zeros), [](auto, auto) { return 0.0; }) == 0);
    zeros = x;
    const Matrix moved = std::move(zeros);
    CHECK(error_of(transfer.get(moved), [&](auto i, auto j) { return at(a, i, j); }) == 0);
  }

  // Three extents, repeated over the middle one; nothing at all; shapes that do not fit.
  const HostMatrix<T> a = random_matrix<T>(normals, 3, 35), b = random_matrix<T>(normals, 3, 7);
  const Matrix flat_a = transfer.put(a), flat_b = transfer.put(b);
  const auto deep = flat_a.reshape(Extents<3, 5, 7>{});
  Matrix wide(3, 35);
  assign(wide.reshape(Extents<3, 5, 7>{}), deep * flat_b.reshape(Extents<3, 1, 7>{}) - sum(deep));
  CHECK(error_of(transfer.get(wide), [&](std::size_t i, std::size_t j) {
          double total = 0;
          for (std::size_t k = 0; k < 7; ++k) total += static_cast<double>(a(i, j / 7 * 7 + k));
          return static_cast<double>(a(i, j)) * static_cast<double>(b(i, j % 7)) - total;
        }) < 4 * tolerance);
  const Matrix empty(0, 5);
  const Matrix nothing = empty * T(2) + sum(empty);
  CHECK(nothing.size() == 0);
  CHECK_THROWS_AS(Matrix(flat_a + flat_b), ShapeError);
  CHECK_THROWS_AS(assign(wide.view(), flat_b), ShapeError);
}

}  // namespace sdlora_test
