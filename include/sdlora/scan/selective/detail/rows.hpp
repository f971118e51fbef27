#pragma once

#include "../../../tensor/extents.hpp"
#include "../../../tensor/matrix_view.hpp"
#include "blocks.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

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
      // Of gradients that are not wanted there is no matrix.
      : target(matrix ? matrix.row(first_row) + first_channel : nullptr),
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

/// The passes that a kernel makes over the rows of a line: one for each block of states and each vector.
template <std::size_t N, std::size_t Block, class T>
struct LinePasses {
  static constexpr std::size_t vectors = scan_line<T> / simd_width<T>;

  static constexpr std::size_t count(std::size_t states) {
    return ceil_div(N == dyn ? states : N, Block) * vectors;
  }
  static constexpr std::size_t index(std::size_t n, std::size_t v) {
    return n / Block * vectors + v / simd_width<T>;
  }
  /// How many of `streams` one pass asks for at the most.
  static constexpr std::size_t share(std::size_t streams) {
    return N == dyn ? streams : ceil_div(streams, count(N));
  }
};

/// A row somewhere in memory, and the bytes to the next.
struct RowStream {
  std::uintptr_t row;
  std::size_t stride;
};

/// Rows of some matrices that are needed soon, all as many lines wide; up to `Count` of them. The hardware
/// foresees a row's lines once it has seen some, but not the next row; and what is asked for all at once
/// waits for each other. So kernels ask for one line of each matrix a time step, row by row. Nothing checks
/// where the rows end: to ask for what is not there does no harm. Where rows do not begin at a cache line, a
/// line of channels lies in two of them: asked for is the second, the next line's first; of several lines the
/// first's is asked for when a row begins.
template <std::size_t Count>
class RowsAhead {
 public:
  explicit RowsAhead(std::size_t lines) : width_(lines * cache_line) {}

  /// From this row and channel on. At least one matrix is to be added.
  template <class T>
  void add(const MatrixView<T>& matrix, std::size_t first_row, std::size_t first_channel) {
    add(matrix.row(first_row) + first_channel, matrix.stride);
  }
  /// Rows `stride` elements apart.
  template <class T>
  void add(const T* first, std::size_t stride) {
    streams_[end_++] = {reinterpret_cast<std::uintptr_t>(first), stride * sizeof(T)};
  }

  /// What the `index`th of `passes` passes asks for, from the `line`th line on, counted row by row.
  template <std::size_t Part>
  RowsAhead<Part> share(std::size_t index, std::size_t passes, std::size_t line) const {
    RowsAhead<Part> part(width_ / cache_line);
    const std::size_t row = line * cache_line / width_;
    part.column_ = line * cache_line % width_;
    const std::size_t begin = end_ * index / passes, end = end_ * (index + 1) / passes;
    part.end_ = end - begin;
    part.each([&](RowStream& stream, std::size_t i) SDLORA_INLINED {
      // The rest asks for one row again and again.
      const RowStream from = begin + i < end ? streams_[begin + i] : RowStream{streams_[0].row, 0};
      stream = {from.row + row * from.stride, from.stride};
    });
    return part;
  }

  /// Asks for one line of each matrix and goes on.
  SDLORA_INLINED void fetch() {
    each([&](const RowStream& stream, std::size_t)
             SDLORA_INLINED { prefetch(stream.row + column_ + (cache_line - 1)); });
    column_ += cache_line;
    if (column_ == width_) {
      column_ = 0;
      each([&](RowStream& stream, std::size_t) SDLORA_INLINED {
        stream.row += stream.stride;
        if (width_ > cache_line) prefetch(stream.row);
      });
    }
  }

 private:
  template <std::size_t>
  friend class RowsAhead;

  SDLORA_INLINED static void prefetch([[maybe_unused]] std::uintptr_t address) {
#if defined(__GNUC__)
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
#endif
  }
  template <class F>
  SDLORA_INLINED void each(const F& f) {
    unrolled<Count>([&](std::size_t i) SDLORA_INLINED { f(streams_[i], i); });
  }

  RowStream streams_[Count];
  std::size_t end_ = 0;
  std::size_t width_, column_ = 0;  // in bytes
};

/// sums[j] += Σ Δ over the rows of a tile (scan_chunk, line), for the channels of the line.
template <class T>
void add_deltas(const T* delta, std::size_t length, T* sums) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>;
  for (std::size_t v = 0; v < P; v += simd_width<T>) {
    V sum = V::load_aligned(sums + v);
    for (std::size_t t = 0; t < length; ++t) sum += V::load_aligned(delta + t * P + v);
    sum.store_aligned(sums + v);
  }
}

/// Copies `length` rows of a (M, N) matrix into a contiguous (length, N) block.
template <std::size_t N, class T>
void copy_rows(T* to, const MatrixView<const T>& from, std::size_t first_row, std::size_t length) {
  const std::size_t cols = N == dyn ? from.cols : N;
  for (std::size_t t = 0; t < length; ++t) std::copy_n(from.row(first_row + t), cols, to + t * cols);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
