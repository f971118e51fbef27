#pragma once

#include "../error.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/matrix_view.hpp"
#include "cross_entropy.hpp"
#include "loss.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sdlora {

/// A loss on the outputs of a sequence model, called as loss(y, d_y) with y (R, outputs): returns Σ loss with
/// its count, and writes the gradient of the sum to d_y, of y's shape, unless that is empty.
template <class L, class T>
concept SequenceLoss = requires(const L& loss, MatrixView<const T> y, MatrixView<T> d_y) {
  { loss(y, d_y) } -> std::same_as<Loss>;
};

/// Σ (y − target)²; its mean is over all values. Throws ShapeError where shapes differ.
template <class T>
struct SquaredError {
  MatrixView<const T> target;

  Loss operator()(MatrixView<const T> y, MatrixView<T> d_y) const {
    if (y.rows != target.rows || y.cols != target.cols) {
      throw ShapeError("SquaredError: expected outputs " + detail::extents_text(target.rows, target.cols) +
                       " as the targets', found " + detail::extents_text(y.rows, y.cols) +
                       "; give a target for each output");
    }
    Loss loss{0.0, y.rows * y.cols};
    for (std::size_t i = 0; i < y.rows; ++i) {
      for (std::size_t j = 0; j < y.cols; ++j) {
        const double difference = static_cast<double>(y(i, j)) - static_cast<double>(target(i, j));
        loss.sum += difference * difference;
      }
    }
    if (d_y) assign(d_y, T(2) * (y - target));
    return loss;
  }
};

/// Σ −log softmax(y) at each row's label. Throws ShapeError where there is not a label for each row,
/// ArgumentError where one is no column.
struct ClassError {
  std::span<const std::int32_t> labels;

  template <class T>
  Loss operator()(MatrixView<const T> y, MatrixView<T> d_y) const {
    if (y.rows != labels.size()) {
      throw ShapeError("ClassError: expected " + std::to_string(y.rows) + " labels, found " +
                       std::to_string(labels.size()) + "; give one for each row");
    }
    Loss loss{0.0, y.rows};
    for (std::size_t i = 0; i < y.rows; ++i) {
      const auto label = static_cast<std::size_t>(labels[i]);
      if (labels[i] < 0 || label >= y.cols) {
        throw ArgumentError("ClassError: expected labels below " + std::to_string(y.cols) + ", found " +
                            std::to_string(labels[i]) + " for row " + std::to_string(i) +
                            "; give the index of a class");
      }
      const T all = detail::log_sum_exp(y.row(i), y.cols);
      loss.sum += static_cast<double>(all) - static_cast<double>(y(i, label));
      if (!d_y) continue;
      for (std::size_t j = 0; j < y.cols; ++j) d_y(i, j) = exp(y(i, j) - all) - T(j == label ? 1 : 0);
    }
    return loss;
  }
};

static_assert(SequenceLoss<SquaredError<float>, float> && SequenceLoss<ClassError, double>);

}  // namespace sdlora
