#pragma once

#include <sdlora/tensor/matrix_view.hpp>

#include <cstddef>
#include <vector>

namespace sdlora_test {

/// A matrix whose rows are `gap` further apart than they are long; the gaps hold a value that would
/// show up in results.
template <class T>
class Padded {
 public:
  Padded(std::size_t rows, std::size_t cols, std::size_t gap, const std::vector<double>& from = {})
      : memory(rows * (cols + gap), T(1e30)), view(memory.data(), rows, cols, cols + gap) {
    for (std::size_t i = 0; i < rows * cols; ++i) {
      view(i / cols, i % cols) = from.empty() ? T(0) : static_cast<T>(from[i]);
    }
  }
  Padded(const Padded& other)
      : memory(other.memory), view(memory.data(), other.view.rows, other.view.cols, other.view.stride) {}
  Padded(Padded&&) = default;
  Padded& operator=(Padded&&) = default;

  /// Row after row, without the gaps.
  std::vector<T> values() const {
    std::vector<T> all;
    for (std::size_t i = 0; i < view.rows; ++i) all.insert(all.end(), view.row(i), view.row(i) + view.cols);
    return all;
  }

  std::vector<T> memory;
  sdlora::MatrixView<T> view;
};

}  // namespace sdlora_test
