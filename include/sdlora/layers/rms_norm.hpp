#pragma once

#include "../tensor/column_sums.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/reduce.hpp"
#include "../tensor/workspace.hpp"

#include <type_traits>

namespace sdlora {

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): out = x / √(mean(x²) + ε) · weight, per row.
/// x, out (M, d), weight (1, d). out may be x. Throws ShapeError.
template <class T, class D>
void rms_norm_forward(std::type_identity_t<MatrixView<const T, D>> x,
                      std::type_identity_t<MatrixView<const T, D>> weight, std::type_identity_t<T> epsilon,
                      MatrixView<T, D> out) {
  assign(out, x * rsqrt(mean(square(x)) + epsilon) * weight);
}

/// The same without a weight: out = x / √(mean(x²) + ε), per row.
template <class T, class D>
void rms_norm_forward(std::type_identity_t<MatrixView<const T, D>> x, std::type_identity_t<T> epsilon,
                      MatrixView<T, D> out) {
  assign(out, x * rsqrt(mean(square(x)) + epsilon));
}

/// Backward of the norm without a weight, in place: `d` (M, d) holds the gradient of out and becomes that of
/// x (M, d). Throws ShapeError.
template <class T, class D>
void rms_norm_backward(std::type_identity_t<MatrixView<const T, D>> x, std::type_identity_t<T> epsilon,
                       MatrixView<T, D> d) {
  const auto r = rsqrt(mean(square(x)) + epsilon);  // (M, 1)
  assign(d, d * r - x * (mean(d * x) * r * r * r));
}

/// Gradients from that of out, d_out (M, d): d_x (M, d) is added to unless it is empty; d_weight (1, d) is
/// added to unless it is empty. Throws ShapeError.
template <class T, class D>
void rms_norm_backward(MatrixView<const T, D> x, std::type_identity_t<MatrixView<const T, D>> weight,
                       std::type_identity_t<T> epsilon, std::type_identity_t<MatrixView<const T, D>> d_out,
                       std::type_identity_t<MatrixView<T, D>> d_x,
                       std::type_identity_t<MatrixView<T, D>> d_weight, WorkspaceOn<D>& workspace) {
  const auto r = rsqrt(mean(square(x)) + epsilon);  // (M, 1)
  if (d_x) {
    assign<AssignMode::Add>(d_x, d_out * weight * r - x * (mean(d_out * weight * x) * r * r * r));
  }
  if (!d_weight) return;
  const WorkspaceScope scope(workspace);
  const MatrixView<T, D> scale = workspace.template matrix<T>(x.rows, 1);
  assign(scale, r);
  assign_column_sums<AssignMode::Add>(d_weight, d_out * x * scale);
}

}  // namespace sdlora
