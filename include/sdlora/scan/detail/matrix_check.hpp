#pragma once

#include "../../error.hpp"
#include "../../tensor/matrix_view.hpp"

#include <cstddef>
#include <string>

namespace sdlora::detail {

/// Throws ShapeError unless the matrix `what` of a call is there, (rows, cols), and its rows do not overlap.
/// `why` says where that shape comes from.
template <class T>
void check_matrix(const char* call, const char* what, const MatrixView<T>& matrix, std::size_t rows,
                  std::size_t cols, const char* why) {
  const auto refuse = [&](const std::string& reason) {
    throw ShapeError(std::string(call) + ": " + what + " " + reason);
  };
  const auto shape = [](std::size_t r, std::size_t c) {
    return "(" + std::to_string(r) + ", " + std::to_string(c) + ")";
  };
  if (matrix.rows != rows || matrix.cols != cols) {
    refuse("is " + shape(matrix.rows, matrix.cols) + " but must be " + shape(rows, cols) + ", " + why);
  }
  if (matrix.stride < matrix.cols && matrix.rows > 1) {
    refuse("has rows of " + std::to_string(matrix.cols) + " values at a distance of " +
           std::to_string(matrix.stride) + ", so they overlap");
  }
  if (matrix.data == nullptr && rows * cols > 0) refuse("has no data; pass a view of its values");
}

}  // namespace sdlora::detail
