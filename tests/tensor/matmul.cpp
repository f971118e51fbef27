#include "support/numbers.hpp"
#include "support/padded.hpp"

#include <sdlora/tensor/matmul.hpp>

#include <doctest/doctest.h>

#include <cstring>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class T>
Padded<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  return {rows, cols, seed % 4, Normals(seed).vector<double>(rows * cols)};
}

/// scale · a · b by the definition, in double; `at` reads an operand.
template <class A, class B>
std::vector<double> plain(std::size_t m, std::size_t k, std::size_t n, const A& a, const B& b, double scale) {
  std::vector<double> out(m * n, 0.0);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t l = 0; l < k; ++l) {
        out[i * n + j] += scale * static_cast<double>(a(i, l)) * static_cast<double>(b(l, j));
      }
    }
  }
  return out;
}

template <class T>
void check_shape(std::size_t m, std::size_t k, std::size_t n, double tolerance) {
  CAPTURE(m);
  CAPTURE(k);
  CAPTURE(n);
  const auto a = random_matrix<T>(m, k, 1), at = random_matrix<T>(k, m, 2);
  const auto b = random_matrix<T>(k, n, 3), bt = random_matrix<T>(n, k, 4);
  const MatrixView<const T> A = a.view, At = at.view, B = b.view, Bt = bt.view;
  const auto flipped = [](const MatrixView<const T>& v) {
    return [v](std::size_t i, std::size_t j) { return v(j, i); };
  };
  const auto check = [&](const auto& left, const auto& right, const std::vector<double>& once) {
    Padded<T> out(m, n, 3, Normals(9).vector<double>(m * n));
    const std::vector<T> before = out.values();
    matmul(out.view, left, right);
    CHECK(relative_norm(out.values(), once) <= tolerance);
    matmul(out.view, left, right, Write::Add, T(-2));
    std::vector<double> expected(once);
    for (double& v : expected) v = -v;
    CHECK(relative_norm(out.values(), expected) <= 3.0 * tolerance);
    for (std::size_t i = 0; i < m; ++i) {  // nothing outside of the columns is written
      for (std::size_t j = n; j < n + 3; ++j) REQUIRE(out.memory[i * (n + 3) + j] == T(1e30));
    }
  };
  check(A, B, plain(m, k, n, A, B, 1.0));
  check(A, transposed(Bt), plain(m, k, n, A, flipped(Bt), 1.0));
  check(transposed(At), B, plain(m, k, n, flipped(At), B, 1.0));
}

}  // namespace

TEST_CASE("matmul: the definition, for every layout of the operands, in float") {
  for (const std::size_t m : {1U, 3U, 17U, 300U}) {
    for (const std::size_t n : {1U, 5U, 64U, 257U}) {
      for (const std::size_t k : {1U, 2U, 33U}) check_shape<float>(m, k, n, 1e-6);
    }
  }
}

TEST_CASE("matmul: the definition, in double") {
  check_shape<double>(7, 11, 13, 1e-14);
  check_shape<double>(513, 3, 2, 1e-14);
  check_shape<double>(2, 70, 600, 1e-14);
}

TEST_CASE("matmul: an inner extent of zero is a sum of nothing, an empty output is left") {
  Padded<float> out(2, 3, 0, {1, 2, 3, 4, 5, 6});
  const MatrixView<const float> a(nullptr, 2, 0), b(nullptr, 0, 3);
  matmul(out.view, a, b, Write::Add);
  CHECK(out.values() == std::vector<float>{1, 2, 3, 4, 5, 6});
  matmul(out.view, a, b);
  CHECK(out.values() == std::vector<float>(6, 0.0F));
  const Padded<float> some = random_matrix<float>(4, 3, 1);
  matmul(out.view.rows_from(0, 0), MatrixView<const float>(nullptr, 0, 4),
         MatrixView<const float>(some.view));
}

TEST_CASE("matmul: the number of threads changes no bit") {
  const std::size_t before = thread_count();
  const auto a = random_matrix<float>(700, 129, 1), b = random_matrix<float>(129, 310, 2),
             c = random_matrix<float>(129, 700, 3);
  std::vector<std::vector<float>> results;
  for (const std::size_t threads : {1U, 2U, 3U}) {
    set_thread_count(threads);
    Padded<float> tall(700, 310, 0), wide(310, 700, 0);
    matmul(tall.view, MatrixView<const float>(a.view), MatrixView<const float>(b.view));
    matmul(wide.view, transposed(b.view), MatrixView<const float>(c.view));
    results.push_back(tall.values());
    results.push_back(wide.values());
  }
  set_thread_count(before);
  for (std::size_t i = 2; i < results.size(); ++i) {
    CHECK(std::memcmp(results[i].data(), results[i % 2].data(), results[i].size() * sizeof(float)) == 0);
  }
}

TEST_CASE("matmul: products and operations are counted once each") {
  const auto a = random_matrix<float>(300, 5, 1), b = random_matrix<float>(5, 7, 2);
  Padded<float> out(300, 7, 0);
  const MatmulStatistics before = matmul_statistics();
  matmul(out.view, MatrixView<const float>(a.view), MatrixView<const float>(b.view));
  matmul(out.view, MatrixView<const float>(a.view), MatrixView<const float>(b.view), Write::Add);
  CHECK(matmul_statistics().products - before.products == 2);
  CHECK(matmul_statistics().flops - before.flops == 2 * 2 * 300 * 5 * 7);
}

TEST_CASE("matmul: shapes that do not fit are told with the remedy") {
  Padded<float> out(3, 4, 0), a(3, 5, 0), b(5, 4, 0);
  const MatrixView<const float> A = a.view, B = b.view;
  CHECK_THROWS_WITH_AS(matmul(out.view, A, transposed(B)),
                       doctest::Contains("a product of (3, 5) and (4, 5) with equal inner extents"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(matmul(out.view, transposed(A), B),
                       doctest::Contains("which operand is to be transposed"), ShapeError);
  CHECK_THROWS_WITH_AS(matmul(out.view.cols_from(0, 3), A, B), doctest::Contains("but out is (3, 3)"),
                       ShapeError);
}

TEST_CASE("matmul: an output that lies on an operand is refused, one beside it in the same rows is not") {
  Padded<float> memory(12, 20, 4, Normals(5).vector<double>(12 * 20));
  const MatrixView<float> all = memory.view;  // rows 24 apart
  const auto part = [&](std::size_t row, std::size_t rows, std::size_t col, std::size_t cols) {
    return all.rows_from(row, rows).cols_from(col, cols);
  };
  const Padded<float> identity(4, 4, 0, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
  const MatrixView<const float> I = identity.view;
  const auto refused = [&](MatrixView<float> out, MatrixView<const float> x) {
    const std::vector<float> before = memory.memory;
    CHECK_THROWS_WITH_AS(matmul(out, x, I), doctest::Contains("out shares memory with the first operand"),
                         ArgumentError);
    CHECK_THROWS_WITH_AS(matmul(out, I, transposed(x), Write::Add),
                         doctest::Contains("with the second operand"), ArgumentError);
    CHECK_THROWS_AS(matmul(out, transposed(x), I), ArgumentError);
    CHECK(memory.memory == before);
  };
  refused(part(0, 4, 0, 4), part(0, 4, 0, 4));
  refused(part(0, 4, 3, 4), part(0, 4, 0, 4));
  refused(part(0, 4, 0, 4), part(0, 4, 3, 4));
  refused(part(3, 4, 0, 4), part(0, 4, 0, 4));
  refused(part(0, 4, 2, 4), part(3, 4, 0, 4));
  refused(part(3, 4, 5, 4), part(0, 4, 3, 4));
  // Of another stride, where rows cannot be told apart.
  refused(part(0, 4, 4, 4), MatrixView<const float>(all.data, 4, 4, 12));

  const auto taken = [&](MatrixView<float> out, MatrixView<const float> x) {
    matmul(out, x, I);
    for (std::size_t i = 0; i < x.rows; ++i) {
      for (std::size_t j = 0; j < 4; ++j) CHECK(out(i, j) == x(i, j));
    }
  };
  taken(part(0, 12, 0, 4), part(0, 12, 4, 4));
  taken(part(0, 12, 16, 4), part(0, 12, 12, 4));
  taken(part(0, 6, 0, 4), part(6, 6, 0, 4));
  taken(part(6, 6, 3, 4), part(0, 6, 0, 4));
  taken(part(1, 6, 0, 4), part(0, 6, 16, 4));
}
