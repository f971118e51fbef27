#include "support/weight_cases.hpp"
#include "support/weight_device_cases.hpp"

#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/weight_matmul.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

// As many rows as the path of generation takes and more, primes, whole and broken blocks of 256, and an inner
// extent of more than one panel.
const std::vector<WeightShape> shapes{{1, 1, 1},     {1, 3, 7},    {2, 67, 129}, {3, 5, 1},
                                      {4, 130, 33},  {5, 1, 17},   {7, 13, 11},  {31, 257, 3},
                                      {257, 31, 64}, {6, 1031, 2}, {5, 2, 1100}, {1, 70, 1031},
                                      {300, 5, 2},   {8, 3, 41},   {9, 130, 33}, {11, 3, 1100}};

}  // namespace

TEST_CASE("weight_matmul: the definition, with both operands rounded to bfloat16") {
  check_weight_products<BFloat16, BFloat16>(shapes);
  check_weight_products<std::int8_t, BFloat16>(shapes);
  check_weight_products<float, BFloat16>(shapes);
}

TEST_CASE("weight_matmul: the definition, of the values as they are") {
  check_weight_products<BFloat16, float>(shapes);
  check_weight_products<std::int8_t, float>(shapes);
  check_weight_products<std::int8_t, float>(shapes);
  check_weight_products<float, float>(shapes);
  check_weight_products<double, double>(shapes);
}

TEST_CASE("weight_matmul: a weight of float gives the bits of its matrix") {
  const std::size_t m = 19, n = 300, k = 41;
  const auto x = Normals(1).vector<float>(m * k), w = Normals(2).vector<float>(n * k);
  const MatrixView<const float> X(x.data(), m, k), W(w.data(), n, k);
  std::vector<float> first(m * n), second(m * n);
  matmul(MatrixView<float>(first.data(), m, n), X, transposed(W));
  matmul(MatrixView<float>(second.data(), m, n), X, transposed(Weight<float>(W)));
  CHECK(std::memcmp(first.data(), second.data(), first.size() * sizeof(float)) == 0);
  std::vector<float> third(m * k), fourth(m * k);
  const MatrixView<const float> d_y(first.data(), m, n);
  matmul(MatrixView<float>(third.data(), m, k), d_y, W);
  matmul(MatrixView<float>(fourth.data(), m, k), d_y, Weight<float>(W));
  CHECK(std::memcmp(third.data(), fourth.data(), third.size() * sizeof(float)) == 0);
}

TEST_CASE("weight_matmul: neither the number of threads nor the weight's address changes a bit") {
  for (const WeightShape& shape : {WeightShape{3, 150, 67}, WeightShape{8, 150, 67},
                                   WeightShape{300, 290, 31}, WeightShape{9, 1100, 61}}) {
    check_weight_bits<BFloat16, BFloat16>(shape);
    check_weight_bits<std::int8_t, BFloat16>(shape);
    check_weight_bits<float, BFloat16>(shape);
    check_weight_bits<BFloat16, float>(shape);
    check_weight_bits<std::int8_t, float>(shape);
    check_weight_bits<float, float>(shape);
  }
}

TEST_CASE("weight_matmul: an inner extent of zero is a sum of nothing, an empty output is left") {
  std::vector<float> out{1, 2, 3, 4, 5, 6};
  const MatrixView<float> view(out.data(), 2, 3);
  const MatrixView<const float> x(nullptr, 2, 0);
  const Weight<BFloat16> weight(MatrixView<const BFloat16>(nullptr, 3, 0));
  matmul(view, x, transposed(weight), Write::Add);
  CHECK(out == std::vector<float>{1, 2, 3, 4, 5, 6});
  matmul(view, x, transposed(weight));
  CHECK(out == std::vector<float>(6, 0.0F));
  matmul(view.rows_from(0, 0), x.rows_from(0, 0), transposed(weight));
}

TEST_CASE("weight_matmul: shapes and overlaps are told with the remedy") {
  const StoredMatrix<BFloat16> stored(4, 5, Normals(1).vector<float>(20));
  const auto weight = stored.weight();
  std::vector<float> x(10), y(8);
  const MatrixView<float> X(x.data(), 2, 5), Y(y.data(), 2, 4);
  CHECK_THROWS_WITH_AS(matmul(Y, X, weight), doctest::Contains("which operand is to be transposed"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(matmul(X.cols_from(0, 4), X, transposed(weight)),
                       doctest::Contains("out shares memory with the first operand"), ArgumentError);
  const MatrixView<float> over(reinterpret_cast<float*>(const_cast<std::byte*>(weight.data)), 2, 4);
  CHECK_THROWS_WITH_AS(matmul(over, X, transposed(weight)), doctest::Contains("with the second operand"),
                       ArgumentError);
}

TEST_CASE("weight_matmul: a product is counted once") {
  const StoredMatrix<BFloat16> stored(300, 5, Normals(1).vector<float>(1500));
  std::vector<float> x(6 * 5, 1.0F), y(6 * 300);
  const MatmulStatistics before = matmul_statistics();
  matmul(MatrixView<float>(y.data(), 6, 300), MatrixView<const float>(x.data(), 6, 5),
         transposed(stored.weight()));
  CHECK(matmul_statistics().products - before.products == 1);
  CHECK(matmul_statistics().flops - before.flops == 2 * 6 * 300 * 5);
}

TEST_CASE("weight_matmul: subnormal numbers, infinities and NaN") {
  const std::vector<float> w{1, 0, 0, 1, 1, 1};
  const StoredMatrix<BFloat16> stored(3, 2, w);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t rows : {2U, 10U}) {
    std::vector<float> x(rows * 2, 0.0F), y(rows * 3);
    x[0] = infinity, x[1] = 1, x[2] = std::numeric_limits<float>::quiet_NaN(), x[3] = 2;
    matmul(MatrixView<float>(y.data(), rows, 3), MatrixView<const float>(x.data(), rows, 2),
           transposed(stored.weight()));
    CHECK(y[0] == infinity);
    CHECK(std::isnan(y[1]));  // infinity · 0
    CHECK(y[2] == infinity);
    CHECK(std::isnan(y[3]));
    CHECK(std::isnan(y[5]));
  }
}

TEST_CASE("weight_matmul: the emulated device gives the host's products") {
  check_weights_on_device<Emulated>();
}

namespace {

/// Each of a few rows alone and all together.
template <class Stored, class Products>
void check_rows_alone(std::size_t n, std::size_t k) {
  constexpr std::size_t most = 8;
  const auto x = Normals(1).vector<float>(most * k);
  const StoredMatrix<Stored> stored(n, k, Normals(2).vector<float>(n * k), 1, sizeof(Stored) > 2 ? 0 : 1);
  const auto weight = stored.template weight<Products>();
  std::vector<float> alone(most * n);
  for (std::size_t i = 0; i < most; ++i) {
    matmul(MatrixView<float>(alone.data() + i * n, 1, n), MatrixView<const float>(x.data() + i * k, 1, k),
           transposed(weight));
  }
  for (std::size_t m = 2; m <= most; ++m) {
    CAPTURE(m);
    std::vector<float> together(m * n);
    matmul(MatrixView<float>(together.data(), m, n), MatrixView<const float>(x.data(), m, k),
           transposed(weight));
    CHECK(std::equal(together.begin(), together.end(), alone.begin()));
  }
}

}  // namespace

TEST_CASE("weight products: a few rows give the bits that each gives alone") {
  check_rows_alone<BFloat16, BFloat16>(67, 129);
  check_rows_alone<std::int8_t, float>(67, 129);
  check_rows_alone<std::int8_t, float>(3, 31);
}

TEST_CASE("weight products: int8 meets integers of 16 bits, and their sums are exact") {
  // Numbers that are such integers themselves, the largest weights and activations over a whole piece of 4096
  // and more: sums beyond 2^31.
  constexpr std::size_t n = 3, k = 9001;
  std::vector<float> x(2 * k), w(n * k);
  for (std::size_t j = 0; j < k; ++j) {
    x[j] = j % 7 == 0 ? -32766.0F : 32767.0F;
    x[k + j] = static_cast<float>(j % 401) - 200.0F;
    w[j] = 127.0F;
    w[k + j] = j % 2 == 0 ? 127.0F : -126.0F;
    w[2 * k + j] = static_cast<float>(j % 255) - 127.0F;
  }
  x[k] = 32767.0F;
  const StoredMatrix<std::int8_t> stored(n, k, w);
  std::vector<float> y(2 * n);
  matmul(MatrixView<float>(y.data(), 2, n), MatrixView<const float>(x.data(), 2, k),
         transposed(stored.weight<float>()));
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (std::size_t l = 0; l < k; ++l)
        sum += static_cast<double>(x[i * k + l]) * static_cast<double>(w[j * k + l]);
      CHECK(y[i * n + j] == static_cast<float>(sum));
    }
  }
}

TEST_CASE("weight products: of int8 with zeros, the smallest numbers, and what is no number") {
  constexpr std::size_t k = 40;
  const StoredMatrix<std::int8_t> stored(2, k, Normals(4).vector<float>(2 * k));
  const auto product = [&](const std::vector<float>& x) {
    std::vector<float> y(2);
    matmul(MatrixView<float>(y.data(), 1, 2), MatrixView<const float>(x.data(), 1, k),
           transposed(stored.weight<float>()));
    return y;
  };
  CHECK(product(std::vector<float>(k, 0.0F)) == std::vector<float>{0.0F, 0.0F});
  std::vector<float> x(k, 0.0F);
  x[3] = 1e-33F;
  CHECK(product(x)[1] == doctest::Approx(stored.value(1, 3) * 1e-33F).epsilon(1e-4).scale(0));
  x[3] = 1e-40F;  // whose reciprocal is no float
  CHECK(product(x) == std::vector<float>{0.0F, 0.0F});
  x[3] = 3e38F;
  CHECK(product(x)[0] == doctest::Approx(stored.value(0, 3) * 3e38F).epsilon(1e-4));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    x[3] = bad;
    for (const float value : product(x)) CHECK(std::isnan(value));
  }
}
