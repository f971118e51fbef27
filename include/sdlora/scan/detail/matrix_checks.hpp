#pragma once

#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../selective/gradients.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace sdlora::detail {

/// Throws ShapeError where the matrix `what` of a call has a shape but no values.
template <class T, class D>
void check_data(const char* call, const char* what, const MatrixView<T, D>& matrix) {
  if (matrix.data == nullptr && matrix.rows * matrix.cols > 0) {
    throw ShapeError(std::string(call) + ": " + what + " has no data; pass a view of its values");
  }
}

/// The same, and where its rows overlap.
template <class T, class D>
void check_rows(const char* call, const char* what, const MatrixView<T, D>& matrix) {
  check_data(call, what, matrix);
  if (matrix.stride < matrix.cols && matrix.rows > 1) {
    throw ShapeError(std::string(call) + ": " + what + " has rows of " + std::to_string(matrix.cols) +
                     " values at a distance of " + std::to_string(matrix.stride) +
                     ", so they overlap; give a stride of at least their length");
  }
}

/// A matrix of a call and what the call names it.
template <class T>
struct NamedMatrix {
  const char* name;
  MatrixView<const T> matrix;
};

/// Throws ArgumentError where a result shares memory with another result or with what is read.
template <class T>
void check_apart(const char* call, std::span<const NamedMatrix<T>> results,
                 std::span<const NamedMatrix<T>> read) {
  const auto check = [call](const NamedMatrix<T>& result, const NamedMatrix<T>& other) {
    if (!share_memory(result.matrix, other.matrix)) return;
    throw ArgumentError(std::string(call) + ": " + result.name + " shares memory with " + other.name +
                        "; give it memory of its own");
  };
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (const auto& other : read) check(results[i], other);
    for (const auto& other : results.first(i)) check(results[i], other);
  }
}

/// Throws ShapeError unless the matrix `what` of a call is there, (rows, cols), and its rows do not overlap.
/// `rows_rule` and `cols_rule` say where that shape comes from.
template <class T, class D>
void check_matrix(const char* call, const char* what, const MatrixView<T, D>& matrix, std::size_t rows,
                  std::size_t cols, const char* rows_rule, const char* cols_rule) {
  if (matrix.rows != rows || matrix.cols != cols) {
    throw ShapeError(std::string(call) + ": " + what + " is " + extents_text(matrix.rows, matrix.cols) +
                     " but must be " + extents_text(rows, cols) + ", " + rows_rule + " and " + cols_rule);
  }
  check_rows(call, what, matrix);
}

/// What the matrices of a selective scan, on either device, are checked against: its sizes, and who asks.
/// Matrices without rows may be absent where the call has none.
struct MatrixChecks {
  const char* call;
  std::size_t rows, channels, states;
  const char* rows_rule;      // where the number of rows comes from
  const char* channels_rule;  // and that of columns, one per channel or
  const char* states_rule;    // per state

  /// Throws ShapeError unless the matrix `what` is there, (rows, channels), and its rows do not overlap.
  template <class T, class D>
  void check_channels(const char* what, const MatrixView<T, D>& matrix) const {
    check(what, matrix, channels, channels_rule);
  }
  /// The same for (rows, states).
  template <class T, class D>
  void check_states(const char* what, const MatrixView<T, D>& matrix) const {
    check(what, matrix, states, states_rule);
  }

  /// Throws ShapeError unless the matrices that the scan reads fit.
  template <class Inputs>
  void check_inputs(const Inputs& in) const {
    check_channels("u", in.u);
    check_channels("dt", in.dt);
    if (in.z || in.z.rows > 0) check_channels("z", in.z);
    check_states("B", in.B);
    check_states("C", in.C);
  }

  /// Throws ShapeError unless `out` fits, ArgumentError where it shares memory with what is read.
  template <class Inputs, class T, class D>
  void check_out(const Inputs& in, const MatrixView<T, D>& out) const {
    check_channels("out", out);
    const NamedMatrix<T> results[] = {{"out", out.bare()}};
    check_all_apart<T>(results, in);
  }

  /// Throws ShapeError unless `d_out` and the matrices of the gradients that are wanted fit, and z is there
  /// where its gradient is; ArgumentError where one of these shares memory with another or with what is read.
  template <class Inputs, class T, class D, class Gradients>
  void check_gradients(const Inputs& in, const MatrixView<const T, D>& d_out,
                       const SelectiveScanGradients& wanted, const Gradients& gradients) const {
    check_channels("d_out", d_out);
    if (wanted.u) check_channels("the gradient of u", gradients.u);
    if (wanted.dt) check_channels("the gradient of dt", gradients.dt);
    if (wanted.B) check_states("the gradient of B", gradients.B);
    if (wanted.C) check_states("the gradient of C", gradients.C);
    if (wanted.z) {
      if (!in.z && rows * channels > 0) missing("z");
      check_channels("the gradient of z", gradients.z);
    }
    const auto if_wanted = [](bool asked, const MatrixView<T, D>& matrix) {
      return asked ? matrix.bare() : MatrixView<T>{};
    };
    const NamedMatrix<T> results[] = {{"the gradient of u", if_wanted(wanted.u, gradients.u)},
                                      {"the gradient of dt", if_wanted(wanted.dt, gradients.dt)},
                                      {"the gradient of B", if_wanted(wanted.B, gradients.B)},
                                      {"the gradient of C", if_wanted(wanted.C, gradients.C)},
                                      {"the gradient of z", if_wanted(wanted.z, gradients.z)}};
    check_all_apart<T>(results, in, d_out.bare());
  }

  [[noreturn]] void missing(const char* what) const {
    throw ShapeError(
        std::string(call) + ": the gradient of " + what +
        " is asked for, but the input or the output for it is absent; pass both, or do not ask for it");
  }

 private:
  template <class T, class Inputs>
  void check_all_apart(std::span<const NamedMatrix<T>> results, const Inputs& in,
                       const MatrixView<const T>& d_out = {}) const {
    const NamedMatrix<T> read[] = {{"u", in.u.bare()}, {"dt", in.dt.bare()}, {"B", in.B.bare()},
                                   {"C", in.C.bare()}, {"z", in.z.bare()},   {"d_out", d_out}};
    check_apart<T>(call, results, read);
  }

  template <class T, class D>
  void check(const char* what, const MatrixView<T, D>& matrix, std::size_t cols,
             const char* cols_rule) const {
    if (rows > 0 || matrix.rows > 0) check_matrix(call, what, matrix, rows, cols, rows_rule, cols_rule);
  }
};

}  // namespace sdlora::detail
