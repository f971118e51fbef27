#pragma once

#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../selective_scan_gradients.hpp"

#include <cstddef>
#include <string>

namespace sdlora::detail {

/// Throws ShapeError unless the matrix `what` of a call is there, (rows, cols), and its rows do not overlap.
/// `rows_rule` and `cols_rule` say where that shape comes from.
template <class T>
void check_matrix(const char* call, const char* what, const MatrixView<T>& matrix, std::size_t rows,
                  std::size_t cols, const char* rows_rule, const char* cols_rule) {
  const auto refuse = [&](const std::string& reason) {
    throw ShapeError(std::string(call) + ": " + what + " " + reason);
  };
  if (matrix.rows != rows || matrix.cols != cols) {
    refuse("is " + extents_text(matrix.rows, matrix.cols) + " but must be " + extents_text(rows, cols) +
           ", " + rows_rule + " and " + cols_rule);
  }
  if (matrix.stride < matrix.cols && matrix.rows > 1) {
    refuse("has rows of " + std::to_string(matrix.cols) + " values at a distance of " +
           std::to_string(matrix.stride) + ", so they overlap");
  }
  if (matrix.data == nullptr && rows * cols > 0) refuse("has no data; pass a view of its values");
}

/// What the matrices of a selective scan, on either device, are checked against: its sizes, and who asks.
/// Without rows nothing is read, so nothing is refused.
struct MatrixChecks {
  const char* call;
  std::size_t rows, channels, states;
  const char* rows_rule;      // where the number of rows comes from
  const char* channels_rule;  // and that of columns, one per channel or
  const char* states_rule;    // per state

  /// Throws ShapeError unless the matrix `what` is there, (rows, channels), and its rows do not overlap.
  template <class T>
  void check_channels(const char* what, const MatrixView<T>& matrix) const {
    check(what, matrix, channels, channels_rule);
  }
  /// The same for (rows, states).
  template <class T>
  void check_states(const char* what, const MatrixView<T>& matrix) const {
    check(what, matrix, states, states_rule);
  }

  /// Throws ShapeError unless the matrices that the scan reads fit.
  template <class Inputs>
  void check_inputs(const Inputs& in) const {
    check_channels("u", in.u);
    check_channels("dt", in.dt);
    if (in.z) check_channels("z", in.z);
    check_states("B", in.B);
    check_states("C", in.C);
  }

  /// Throws ShapeError unless `d_out` and the matrices of the gradients that are wanted fit, and z is there
  /// where its gradient is.
  template <class Inputs, class T, class Gradients>
  void check_gradients(const Inputs& in, const MatrixView<const T>& d_out,
                       const SelectiveScanGradients& wanted, const Gradients& gradients) const {
    check_channels("d_out", d_out);
    if (wanted.u) check_channels("the gradient of u", gradients.u);
    if (wanted.dt) check_channels("the gradient of dt", gradients.dt);
    if (wanted.B) check_states("the gradient of B", gradients.B);
    if (wanted.C) check_states("the gradient of C", gradients.C);
    if (!wanted.z) return;
    if (!in.z && rows * channels > 0) missing("z");
    check_channels("the gradient of z", gradients.z);
  }

  [[noreturn]] void missing(const char* what) const {
    throw ShapeError(
        std::string(call) + ": the gradient of " + what +
        " is asked for, but the input or the output for it is absent; pass both, or do not ask for it");
  }

 private:
  template <class T>
  void check(const char* what, const MatrixView<T>& matrix, std::size_t cols, const char* cols_rule) const {
    if (rows > 0) check_matrix(call, what, matrix, rows, cols, rows_rule, cols_rule);
  }
};

}  // namespace sdlora::detail
