#pragma once

#include "../error.hpp"
#include "extents.hpp"
#include "matmul_eigen.hpp"
#include "matrix_view.hpp"
#include "random.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace sdlora {

/// B (rows, rank) and A (rank, cols), both row-major.
struct PrincipalFactors {
  std::vector<double> B, A;
};

namespace detail {

// Eigen's own decompositions would be read by everybody who includes the library, for these few lines.

/// Makes the columns orthonormal (Gram and Schmidt, twice, for the digits that the first time loses). What
/// depends on the columns before it becomes zero.
template <class Matrix>
void orthonormalize(Matrix& columns) {
  for (Eigen::Index j = 0; j < columns.cols(); ++j) {
    const double before = columns.col(j).norm();
    for (int time = 0; time < 2; ++time) {
      for (Eigen::Index i = 0; i < j; ++i) {
        columns.col(j) -= columns.col(i).dot(columns.col(j)) * columns.col(i);
      }
    }
    const double after = columns.col(j).norm();
    if (after > 1e-13 * before) {
      columns.col(j) /= after;
    } else {
      columns.col(j).setZero();
    }
  }
}

/// Turns pairs of columns until all are orthogonal (one-sided Jacobi: Hestenes, 1958), and those of `also`
/// with them.
template <class Matrix>
void orthogonalize(Matrix& columns, Matrix& also) {
  constexpr int most_sweeps = 60;
  bool turned = true;
  for (int sweep = 0; turned && sweep < most_sweeps; ++sweep) {
    turned = false;
    for (Eigen::Index i = 0; i < columns.cols(); ++i) {
      for (Eigen::Index j = i + 1; j < columns.cols(); ++j) {
        const double a = columns.col(i).squaredNorm(), b = columns.col(j).squaredNorm();
        const double c = columns.col(i).dot(columns.col(j));
        if (!(std::abs(c) > 1e-15 * std::sqrt(a * b))) continue;
        turned = true;
        const double zeta = (b - a) / (2.0 * c);
        const double tangent = (zeta < 0.0 ? -1.0 : 1.0) / (std::abs(zeta) + std::sqrt(1.0 + zeta * zeta));
        const double cosine = 1.0 / std::sqrt(1.0 + tangent * tangent), sine = cosine * tangent;
        for (Matrix* each : {&columns, &also}) {
          const Eigen::VectorXd kept = each->col(i);
          each->col(i) = cosine * kept - sine * each->col(j);
          each->col(j) = sine * kept + cosine * each->col(j);
        }
      }
    }
  }
}

}  // namespace detail

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
  const RandomStream random(0, 0);
  Matrix V(cols, k), U;
  for (Index i = 0; i < V.size(); ++i) V.data()[i] = random.uniform(static_cast<std::uint64_t>(i)) - 0.5;
  for (int i = 0; i <= iterations; ++i) {
    U = W * V;
    detail::orthonormalize(U);
    V = W.transpose() * U;
    if (i < iterations) detail::orthonormalize(V);
  }
  detail::orthogonalize(V, U);  // W ≈ U·Vᵀ, V's columns as long as the singular values
  std::vector<Index> order(static_cast<std::size_t>(k));
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index a, Index b) {
    const double x = V.col(a).squaredNorm(), y = V.col(b).squaredNorm();
    return x != y ? x > y : a < b;
  });
  PrincipalFactors result{std::vector<double>(w.rows * rank), std::vector<double>(rank * w.cols)};
  for (Index c = 0; c < r; ++c) {
    const Index from = order[static_cast<std::size_t>(c)];
    const double root = std::sqrt(V.col(from).norm());
    if (root == 0.0) continue;
    for (Index i = 0; i < rows; ++i) result.B[static_cast<std::size_t>(i * r + c)] = root * U(i, from);
    for (Index j = 0; j < cols; ++j) result.A[static_cast<std::size_t>(c * cols + j)] = V(j, from) / root;
  }
  return result;
}

}  // namespace sdlora
