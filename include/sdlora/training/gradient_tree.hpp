#pragma once

#include "../error.hpp"
#include "../tensor/device.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/matrix_view.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// Sums the gradients and losses of a step's micro-batches in a binary tree that follows from their number
/// alone: the first 2^k of n, 2^k the largest power of two below n, then the others, each in the same way;
/// five are ((0 + 1) + (2 + 3)) + 4. Whoever computes the parts, and in whatever order, gets the same bits.
/// Holds at most log2(n) partial sums beside the gradient, as a binary counter does, and none for one
/// micro-batch.
///
///     tree.clear();
///     for each micro-batch but the last: gradient from zero; tree.add(gradient, loss);
///     gradient of the last from zero;    loss = tree.finish(gradient, loss);
template <class T, class D = Cpu>
class GradientTree {
 public:
  /// Takes the next micro-batch, which is not the last. Throws ShapeError where its gradient has another size
  /// than those before.
  void add(MatrixView<const T, D> gradient, double loss) {
    require_size(gradient.cols);
    std::size_t level = 0;
    if (used(level)) {
      assign<AssignMode::Add>(partials_[0].row(), gradient);
      partials_[0].loss += loss;
      // Two sums of 2^level micro-batches are one of 2^(level + 1), as a counter carries.
      for (; used(level + 1); ++level) merge(partials_[level], partials_[level + 1]);
      if (level + 1 == partials_.size()) partials_.emplace_back();
      std::swap(partials_[level], partials_[level + 1]);
    } else {
      if (partials_.empty()) partials_.emplace_back();
      partials_[0].take(gradient);
      partials_[0].loss = loss;
      partials_[0].used = true;
    }
    size_ = gradient.cols;
    ++count_;
  }

  /// Takes the last micro-batch: its gradient becomes the sum of all of them. Returns the sum of the losses;
  /// the tree is empty then. Throws ShapeError where its gradient has another size than those before.
  double finish(MatrixView<T, D> gradient, double loss) {
    require_size(gradient.cols);
    for (Partial& partial : partials_) {
      if (!partial.used) continue;
      assign<AssignMode::Add>(gradient, partial.row());
      loss += partial.loss;
    }
    clear();
    return loss;
  }

  /// Forgets what was added, as after a step that failed. Keeps the memory.
  void clear() {
    for (Partial& partial : partials_) partial.used = false;
    count_ = 0;
  }

  /// Micro-batches taken since the last `finish` or `clear`.
  std::size_t count() const { return count_; }
  /// Arrays of a gradient's size that are held.
  std::size_t partial_sums() const {
    return static_cast<std::size_t>(std::count_if(
        partials_.begin(), partials_.end(), [](const Partial& p) { return p.gradient.capacity() > 0; }));
  }

 private:
  /// The sum of 2^level micro-batches at its place in `partials_`, if `used`.
  struct Partial {
    Storage<T, D> gradient = {};
    std::size_t size = 0;
    double loss = 0.0;
    bool used = false;

    MatrixView<T, D> row() const { return {gradient.data(), 1, size}; }
    void take(MatrixView<const T, D> values) {
      if (gradient.capacity() < values.cols) gradient = Storage<T, D>(values.cols);
      size = values.cols;
      assign(row(), values);
    }
  };

  bool used(std::size_t level) const { return level < partials_.size() && partials_[level].used; }

  /// to += from; `from` is free then.
  static void merge(Partial& from, Partial& to) {
    assign<AssignMode::Add>(to.row(), from.row());
    to.loss += from.loss;
    from.used = false;
  }

  void require_size(std::size_t size) const {
    if (count_ == 0 || size == size_) return;
    throw ShapeError("GradientTree: expected a gradient of " + std::to_string(size_) +
                     " values as those before, found " + std::to_string(size) +
                     "; sum the micro-batches of one model, and clear() between steps");
  }

  std::vector<Partial> partials_;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
};

}  // namespace sdlora
