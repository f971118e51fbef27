#pragma once

#include "../tensor/evaluate.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/reduce.hpp"
#include "../tensor/workspace.hpp"

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace sdlora {

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): out = x / √(mean(x²) + ε) · weight, per row.
/// x, out (M, d), weight (d). out may be x. Throws ShapeError.
template <class T>
void rms_norm_forward(std::type_identity_t<MatrixView<const T>> x, const T* weight,
                      std::type_identity_t<T> epsilon, std::type_identity_t<MatrixView<T>> out) {
  const MatrixView<const T> w(weight, 1, x.cols);
  assign<AssignMode::Set>(out, x * rsqrt(mean(square(x)) + epsilon) * w);
}

/// Gradients from that of out, d_out (M, d): d_x (M, d) is added to unless it is empty; d_weight (d) is
/// added to unless it is null. Throws ShapeError.
template <class T>
void rms_norm_backward(std::type_identity_t<MatrixView<const T>> x, const T* weight,
                       std::type_identity_t<T> epsilon, std::type_identity_t<MatrixView<const T>> d_out,
                       std::type_identity_t<MatrixView<T>> d_x, std::type_identity_t<T>* d_weight,
                       Workspace& workspace) {
  const auto r = rsqrt(mean(square(x)) + epsilon);  // (M, 1)
  if (d_x) {
    const MatrixView<const T> w(weight, 1, x.cols);
    assign<AssignMode::Add>(d_x, d_out * w * r - x * (mean(d_out * w * x) * r * r * r));
  }
  if (d_weight == nullptr) return;
  const Workspace::Scope scope(workspace);
  const MatrixView<T> scale = workspace.matrix<T>(x.rows, 1);
  assign<AssignMode::Set>(scale, r);
  constexpr std::size_t block = 64;  // columns of one task; each sums over the rows in order
  parallel_for(detail::ceil_div(x.cols, block), [&](std::size_t task) {
    const std::size_t last = std::min(x.cols, (task + 1) * block);
    for (std::size_t i = 0; i < x.rows; ++i) {
      for (std::size_t j = task * block; j < last; ++j) d_weight[j] += d_out(i, j) * x(i, j) * scale(i, 0);
    }
  });
}

}  // namespace sdlora
