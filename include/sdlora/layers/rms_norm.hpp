#pragma once

#include "../tensor/evaluate.hpp"
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

/// Gradients from that of out, dout (M, d): dx (M, d) is added to unless it is empty; dweight (d) is
/// added to unless it is null. Throws ShapeError.
template <class T>
void rms_norm_backward(std::type_identity_t<MatrixView<const T>> x, const T* weight,
                       std::type_identity_t<T> epsilon, std::type_identity_t<MatrixView<const T>> dout,
                       std::type_identity_t<MatrixView<T>> dx, std::type_identity_t<T>* dweight,
                       Workspace& workspace) {
  const auto r = rsqrt(mean(square(x)) + epsilon);  // (M, 1)
  if (dx) {
    const MatrixView<const T> w(weight, 1, x.cols);
    assign<AssignMode::Add>(dx, dout * w * r - x * (mean(dout * w * x) * r * r * r));
  }
  if (dweight == nullptr) return;
  const Workspace::Scope scope(workspace);
  const MatrixView<T> scale{workspace.take<T>(x.rows).data(), x.rows, 1};
  assign<AssignMode::Set>(scale, r);
  constexpr std::size_t block = 64;  // columns of one task; each sums over the rows in order
  parallel_for((x.cols + block - 1) / block, [&](std::size_t task) {
    const std::size_t last = std::min(x.cols, (task + 1) * block);
    for (std::size_t i = 0; i < x.rows; ++i) {
      for (std::size_t j = task * block; j < last; ++j) dweight[j] += dout(i, j) * x(i, j) * scale(i, 0);
    }
  });
}

}  // namespace sdlora
