#pragma once

#include "../../tensor/matrix_view.hpp"
#include "selective_blocks.hpp"

#include <algorithm>
#include <cstddef>

// How the kernels of the fused selective scan reach rows of matrices, a line of channels at a time.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// `length` rows of one line of a matrix: in place where the line is whole, else a copy padded with 0.
template <class T>
struct LineRows {
  const T* data;
  std::size_t stride;

  LineRows(const MatrixView<const T>& matrix, std::size_t first_row, std::size_t length,
           std::size_t first_channel, std::size_t count, T* staging) {
    constexpr std::size_t P = scan_line<T>;
    data = matrix.row(first_row) + first_channel;
    stride = matrix.stride;
    if (count < P) {
      for (std::size_t t = 0; t < length; ++t) {
        for (std::size_t j = 0; j < P; ++j) staging[t * P + j] = j < count ? data[t * stride + j] : T(0);
      }
      data = staging;
      stride = P;
    }
  }
  const T* row(std::size_t t) const { return data + t * stride; }
};

/// The same for rows to be written: `finish` copies the part that exists into place.
template <class T>
struct LineRowsOut {
  T* target;
  T* data;
  std::size_t target_stride, stride, length, count;

  LineRowsOut(const MatrixView<T>& matrix, std::size_t first_row, std::size_t length_,
              std::size_t first_channel, std::size_t count_, T* staging)
      : target(matrix.row(first_row) + first_channel),
        target_stride(matrix.stride),
        length(length_),
        count(count_) {
    const bool whole = count == scan_line<T>;
    data = whole ? target : staging;
    stride = whole ? target_stride : scan_line<T>;
  }
  T* row(std::size_t t) const { return data + t * stride; }
  void finish() const {
    if (data == target) return;
    for (std::size_t t = 0; t < length; ++t) std::copy_n(row(t), count, target + t * target_stride);
  }
};

/// Rows of one line of some matrices that are needed soon. Rows are far apart, which the hardware does not
/// foresee; asked for all at once they would wait for each other, so kernels ask for one row a time step.
class RowsAhead {
 public:
  template <class T>
  void add(const MatrixView<T>& matrix, std::size_t first_row, std::size_t rows, std::size_t first_channel) {
    if (rows == 0) return;
    streams_[end_++] = {reinterpret_cast<const char*>(matrix.row(first_row) + first_channel),
                        matrix.stride * sizeof(T), rows};
  }

  /// The share of the `index`th of `count` passes over the rows.
  RowsAhead share(std::size_t index, std::size_t count) const {
    RowsAhead part = *this;
    part.begin_ = end_ * index / count;
    part.end_ = end_ * (index + 1) / count;
    return part;
  }

  SDLORA_INLINED void fetch(std::size_t t) const {
    for (std::size_t i = begin_; i < end_; ++i) {
#if defined(__GNUC__)
      const Stream& s = streams_[i];
      if (t < s.rows) __builtin_prefetch(s.first + t * s.stride, 0, 2);
#endif
    }
  }

 private:
  struct Stream {
    const char* first;
    std::size_t stride, rows;
  };
  Stream streams_[7];
  std::size_t begin_ = 0, end_ = 0;
};

/// Copies `length` rows of a (M, N) matrix into a contiguous (length, N) block.
template <class T>
void copy_rows(T* to, const MatrixView<const T>& from, std::size_t first_row, std::size_t length) {
  for (std::size_t t = 0; t < length; ++t)
    std::copy_n(from.row(first_row + t), from.cols, to + t * from.cols);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
