#include "support/naive_backend.hpp"
#include "support/weight_cases.hpp"

#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/matmul_backend.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("matmul_backend: Eigen multiplies unless another is named") {
  CHECK(matmul_backend() == nullptr);
  CHECK(std::string(matmul_backend_name()) == "Eigen");
  NaiveBackend backend;
  {
    const UseBackend use(&backend);
    CHECK(matmul_backend() == &backend);
    CHECK(std::string(matmul_backend_name()) == "naive");
  }
  CHECK(matmul_backend() == nullptr);
}

TEST_CASE("matmul_backend: products of float go to it in blocks, or stay with Eigen where it refuses") {
  NaiveBackend backend;
  const std::size_t m = 300, n = 20, k = 7;
  const auto a = exact_values(m * k, 1), b = exact_values(n * k, 2);
  const MatrixView<const float> A(a.data(), m, k), At(a.data(), k, m), B(b.data(), k, n), Bt(b.data(), n, k);
  const auto products = [&] {
    std::vector<float> out(4 * m * n, 1.0F);
    matmul(MatrixView<float>(out.data(), m, n), A, B);
    matmul(MatrixView<float>(out.data() + m * n, m, n), A, transposed(Bt), Write::Add, 2.0F);
    matmul(MatrixView<float>(out.data() + 2 * m * n, m, n), transposed(At), B, Write::Overwrite, -1.0F);
    return out;
  };
  const std::vector<float> expected = products();
  CHECK(backend.products == 0);
  const UseBackend use(&backend);
  CHECK(products() == expected);
  CHECK(backend.products == 3 * 2);
  backend.refuses = true;
  CHECK(products() == expected);
  CHECK(backend.products == 3 * 2);
}

TEST_CASE("matmul_backend: a double product is Eigen's, as is one without an inner extent") {
  NaiveBackend backend;
  const UseBackend use(&backend);
  const std::vector<double> a{1, 2}, b{3, 4};
  double out = 0;
  matmul(MatrixView<double>(&out, 1, 1), MatrixView<const double>(a.data(), 1, 2),
         MatrixView<const double>(b.data(), 2, 1));
  CHECK(out == 11);
  float zero = 5;
  matmul(MatrixView<float>(&zero, 1, 1), MatrixView<const float>(nullptr, 1, 0),
         MatrixView<const float>(nullptr, 0, 1));
  CHECK(zero == 0);
  CHECK(backend.products == 0);
}

TEST_CASE("matmul_backend: weights meet it in bfloat16 where it multiplies that, else in floats") {
  for (const bool bfloat16 : {false, true}) {
    NaiveBackend backend;
    backend.bfloat16 = bfloat16;
    const UseBackend use(&backend);
    const std::vector<WeightShape> shapes{{5, 3, 7}, {9, 257, 129}, {300, 5, 2}, {11, 1031, 3}};
    check_weight_products<BFloat16, BFloat16>(shapes);
    check_weight_products<std::int8_t, BFloat16>(shapes);
    check_weight_products<float, BFloat16>(shapes);
    CHECK(backend.products > 0);
  }
}
