#include "support/padded.hpp"

#include <sdlora/tensor/matmul_eigen.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("matmul_eigen: a view with a stride is Eigen's matrix") {
  Padded<double> matrix(2, 3, 2, {1, 2, 3, 4, 5, 6});
  auto map = detail::eigen_map(matrix.view);
  CHECK(map.rows() == 2);
  CHECK(map.cols() == 3);
  CHECK(map(1, 0) == 4.0);
  map(1, 2) = 9.0;
  CHECK(matrix.view(1, 2) == 9.0);
  CHECK(detail::eigen_map(MatrixView<const double>(matrix.view))(0, 1) == 2.0);
}

TEST_CASE("matmul_eigen: products add to what is there") {
  Padded<double> a(2, 3, 1, {1, 2, 3, 4, 5, 6}), b(3, 2, 2, {1, 0, 0, 1, 2, 2}),
      out(2, 2, 1, {100, 100, 100, 100});
  const MatrixView<const double> A = a.view, B = b.view;
  detail::EigenBackend::product<false, false>(out.view, A, B, 2.0);
  CHECK(out.values() == std::vector<double>{114, 116, 132, 134});
  detail::EigenBackend::product<true, false>(out.view, A.cols_from(0, 2), B.rows_from(0, 2), 1.0);
  CHECK(out.values() == std::vector<double>{115, 120, 134, 139});
  detail::EigenBackend::product<false, true>(out.view, A.cols_from(0, 2), B.rows_from(0, 2), -1.0);
  CHECK(out.values() == std::vector<double>{114, 118, 130, 134});
}
