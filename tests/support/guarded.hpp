#pragma once

#include <sdlora/tensor/matrix_view.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace sdlora_test {

/// A matrix in a device's memory (tests/support/scan_kernel_cases.hpp) with NaN before it, beside its rows
/// and behind it, which show where a kernel reads or writes outside; or, where values are added to, which
/// would leave NaN as it is, with `added_to`.
template <class Device>
class Guarded {
 public:
  static constexpr float added_to = 12345.678F;

  Guarded(std::size_t rows, std::size_t cols, std::size_t gap, const std::vector<float>& values,
          float guard = std::numeric_limits<float>::quiet_NaN())
      : rows_(rows),
        cols_(cols),
        stride_(std::max<std::size_t>(1, cols + gap)),
        guard_(guard),
        buffer_(spread(values)) {}
  /// All of one value.
  Guarded(std::size_t rows, std::size_t cols, std::size_t gap, float value)
      : Guarded(rows, cols, gap, std::vector<float>(rows * cols, value)) {}
  /// An array.
  explicit Guarded(const std::vector<float>& values, float guard = std::numeric_limits<float>::quiet_NaN())
      : Guarded(1, values.size(), 0, values, guard) {}

  float* data() { return buffer_.data() + before; }
  sdlora::MatrixView<float> view() { return {data(), rows_, cols_, stride_}; }

  /// Row after row; checks that what lies around them is as it was.
  std::vector<float> values() const {
    const std::vector<float> all = buffer_.read();
    std::vector<float> inner;
    bool intact = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t row = i < before ? rows_ : (i - before) / stride_;
      if (row < rows_ && (i - before) % stride_ < cols_) {
        inner.push_back(all[i]);
      } else {
        intact = intact && (all[i] == guard_ || (std::isnan(all[i]) && std::isnan(guard_)));
      }
    }
    CHECK_MESSAGE(intact, "memory around a matrix was written");
    return inner;
  }

 private:
  static constexpr std::size_t before = 5;
  static constexpr std::size_t behind = 70;

  std::vector<float> spread(const std::vector<float>& values) const {
    std::vector<float> all(before + rows_ * stride_ + behind, guard_);
    for (std::size_t i = 0; i < rows_ * cols_; ++i) {
      all[before + i / cols_ * stride_ + i % cols_] = values[i];
    }
    return all;
  }

  std::size_t rows_, cols_, stride_;
  float guard_;
  typename Device::template Buffer<float> buffer_;
};

}  // namespace sdlora_test
