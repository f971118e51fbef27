#pragma once

#include "../error.hpp"
#include "extents.hpp"
#include "matmul_eigen.hpp"
#include "matrix_view.hpp"
#include "random.hpp"

#if defined(__CUDACC__)
#pragma nv_diagnostic push
#pragma nv_diag_suppress 68, 20011, 20012, 20013, 20014, 20015
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/SVD>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sdlora {

/// B (rows, rank) and A (rank, cols), both row-major.
struct PrincipalFactors {
  std::vector<double> B, A;
};

/// The B·A of rank `rank` nearest to w: with w = U·S·Vᵀ, B = U·√S and A = √S·Vᵀ of the largest singular
/// values. In double, by subspace iteration from a random start (Halko et al., arXiv 0909.4061,
/// algorithm 4.4) with eight more columns than the rank: exact where these are all there are, and else to
/// what separates the singular values. The random numbers are the same in every call. Throws ArgumentError
/// where the rank is 0 or larger than a side of w.
template <class T>
PrincipalFactors principal_factors(MatrixView<const T> w, std::size_t rank) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
  using Index = Eigen::Index;
  const std::size_t smaller = std::min(w.rows, w.cols);
  if (rank == 0 || rank > smaller) {
    throw ArgumentError("principal_factors: expected a rank from 1 to " + std::to_string(smaller) +
                        " for a matrix " + detail::extents_text(w.rows, w.cols) + ", found " +
                        std::to_string(rank) + "; choose a rank no larger than the smaller side");
  }
  constexpr std::size_t more = 8;
  constexpr int iterations = 8;
  const auto rows = static_cast<Index>(w.rows), cols = static_cast<Index>(w.cols);
  const auto r = static_cast<Index>(rank), k = static_cast<Index>(std::min(rank + more, smaller));
  Matrix W(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      W(i, j) = static_cast<double>(w(static_cast<std::size_t>(i), static_cast<std::size_t>(j)));
    }
  }
  const auto orthonormal = [&](const Matrix& columns) -> Matrix {
    return Eigen::HouseholderQR<Matrix>(columns).householderQ() * Matrix::Identity(columns.rows(), k);
  };
  const RandomStream random(0, 0);
  Matrix start(cols, k);
  for (Index i = 0; i < start.size(); ++i)
    start.data()[i] = random.uniform(static_cast<std::uint64_t>(i)) - 0.5;
  Matrix Q = orthonormal(W * start);
  for (int i = 0; i < iterations; ++i) Q = orthonormal(W * orthonormal(W.transpose() * Q));
  const Eigen::JacobiSVD<Matrix> svd(W.transpose() * Q, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Matrix U = Q * svd.matrixV();  // W ≈ Q·Qᵀ·W = Q·(U'·S·V'ᵀ)ᵀ
  PrincipalFactors result{std::vector<double>(w.rows * rank), std::vector<double>(rank * w.cols)};
  for (Index c = 0; c < r; ++c) {
    const double root = std::sqrt(svd.singularValues()(c));
    for (Index i = 0; i < rows; ++i) result.B[static_cast<std::size_t>(i * r + c)] = root * U(i, c);
    for (Index j = 0; j < cols; ++j) {
      result.A[static_cast<std::size_t>(c * cols + j)] = root * svd.matrixU()(j, c);
    }
  }
  return result;
}

}  // namespace sdlora
