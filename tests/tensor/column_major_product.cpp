#include "support/column_major_backend.hpp"
#include "support/weight_cases.hpp"

#include <sdlora/tensor/detail/column_major_product.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// A matrix of whole numbers whose rows lie `gap` values apart, with NaN between them.
struct Spread {
  Spread(std::size_t rows, std::size_t cols, std::size_t gap, std::uint64_t seed)
      : memory(rows * (cols + gap), std::numeric_limits<float>::quiet_NaN()),
        view(memory.data(), rows, cols, cols + gap) {
    const auto values = exact_values(rows * cols, seed);
    for (std::size_t i = 0; i < values.size(); ++i) view(i / cols, i % cols) = values[i];
  }
  std::vector<float> values() const {
    std::vector<float> result;
    for (std::size_t i = 0; i < view.rows; ++i) {
      result.insert(result.end(), view.row(i), view.row(i) + view.cols);
    }
    return result;
  }
  std::vector<float> memory;
  MatrixView<float> view;
};

/// A column-major product as it is described against the definition of the row-major one.
void check(std::size_t m, std::size_t n, std::size_t k, bool transpose_a, bool transpose_b, std::size_t gap,
           Write write) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(transpose_a);
  CAPTURE(transpose_b);
  CAPTURE(gap);
  const Spread a(transpose_a ? k : m, transpose_a ? m : k, gap, 1);
  const Spread b(transpose_b ? n : k, transpose_b ? k : n, 2 * gap, 2);
  Spread found(m, n, 3 * gap, 3), expected(m, n, 3 * gap, 3);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::size_t l = 0; l < k; ++l) {
        sum += (transpose_a ? a.view(l, i) : a.view(i, l)) * (transpose_b ? b.view(j, l) : b.view(l, j));
      }
      expected.view(i, j) = (write == Write::Add ? expected.view(i, j) : 0.0F) - 2.0F * sum;
    }
  }
  const auto product = detail::column_major_product(found.view, MatmulOperand<float>{a.view, transpose_a},
                                                    MatmulOperand<float>{b.view, transpose_b});
  REQUIRE(product);
  column_major_gemm(*product, b.view.data, a.view.data, found.view.data, write, -2.0F);
  CHECK(found.values() == expected.values());
}

}  // namespace

TEST_CASE(
    "column_major_product: a column-major library computes the row-major product, for all transposes and "
    "strides") {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      for (const std::size_t gap : {0U, 1U, 4U}) {
        for (const Write write : {Write::Overwrite, Write::Add}) {
          check(5, 3, 7, transpose_a, transpose_b, gap, write);
          check(1, 13, 2, transpose_a, transpose_b, gap, write);
          check(11, 1, 3, transpose_a, transpose_b, gap, write);
          check(2, 17, 1, transpose_a, transpose_b, gap, write);
          check(1, 1, 1, transpose_a, transpose_b, gap, write);
        }
      }
    }
  }
}

TEST_CASE("column_major_product: what it says of y = x·Wᵀ") {
  // x (6, 4) in rows of 9, W (5, 4), y (6, 5) in rows of 8.
  const auto product =
      detail::column_major_product(MatrixView<float>(nullptr, 6, 5, 8),
                                   MatmulOperand<BFloat16>{MatrixView<const BFloat16>(nullptr, 6, 4, 9)},
                                   MatmulOperand<BFloat16>{MatrixView<const BFloat16>(nullptr, 5, 4), true});
  REQUIRE(product);
  CHECK(product->left == detail::ColumnMajorMatrix{4, 5, 4});
  CHECK(product->right == detail::ColumnMajorMatrix{4, 6, 9});
  CHECK(product->out == detail::ColumnMajorMatrix{5, 6, 8});
  CHECK(product->transpose_left);
  CHECK(!product->transpose_right);
}

TEST_CASE("column_major_product: a single row may have any stride, several rows must not lie in each other") {
  const auto of = [](MatrixView<float> out, MatrixView<const float> a, MatrixView<const float> b) {
    return detail::column_major_product(out, MatmulOperand<float>{a}, MatmulOperand<float>{b});
  };
  const MatrixView<float> out(nullptr, 2, 3);
  const MatrixView<const float> a(nullptr, 2, 4), b(nullptr, 4, 3);
  REQUIRE(of(out, a, b));
  CHECK(!of({nullptr, 2, 3, 2}, a, b));
  CHECK(!of(out, {nullptr, 2, 4, 0}, b));
  CHECK(!of(out, a, {nullptr, 4, 3, 2}));
  const auto row = of({nullptr, 1, 3, 0}, {nullptr, 1, 4, 2}, b);
  REQUIRE(row);
  CHECK(row->out.leading == 3);
  CHECK(row->right.leading == 4);
  CHECK(of(out, {nullptr, 2, 1, 1}, {nullptr, 1, 3, 0}));
}
