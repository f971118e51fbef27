#pragma once

#include "../tensor/matrix_view.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sdlora {

namespace detail {
/// Rows of one task: fixed, so that the partition depends on the shape alone.
inline constexpr std::size_t norm_rows = 32;

template <class Function>
void for_row_blocks(std::size_t rows, std::size_t block, const Function& f) {
  parallel_for((rows + block - 1) / block, [&](std::size_t task) {
    for (std::size_t i = task * block; i < std::min(rows, (task + 1) * block); ++i) f(i);
  });
}
}  // namespace detail

namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// Σ_j f(j) over 0 … count with vectors where they fit; f is given an index and a vector's type tag.
template <class T, class Vector, class Scalar>
T sum_of(std::size_t count, const Vector& vector, const Scalar& scalar) {
  constexpr std::size_t width = simd_width<T>;
  Simd<T> sums[4] = {Simd<T>(T(0)), Simd<T>(T(0)), Simd<T>(T(0)), Simd<T>(T(0))};
  std::size_t j = 0;
  for (; j + 4 * width <= count; j += 4 * width) {
    for (std::size_t k = 0; k < 4; ++k) sums[k] = vector(j + k * width, sums[k]);
  }
  for (; j + width <= count; j += width) sums[0] = vector(j, sums[0]);
  T sum = xsimd::hadd((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; j < count; ++j) sum += scalar(j);
  return sum;
}

template <class T>
T reciprocal_rms(const T* x, std::size_t d, T epsilon) {
  const T square = sum_of<T>(
      d,
      [x](std::size_t j, Simd<T> sum) {
        const auto v = Simd<T>::load_unaligned(x + j);
        return fma(v, v, sum);
      },
      [x](std::size_t j) { return x[j] * x[j]; });
  return T(1) / std::sqrt(square / static_cast<T>(d) + epsilon);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// RMSNorm (Zhang and Sennrich, arXiv 1910.07467): out = x / √(mean(x²) + ε) · weight, per row.
/// x, out (M, d), weight (d). out may be x.
template <class T>
void rms_norm_forward(MatrixView<const T> x, const T* weight, T epsilon, MatrixView<T> out) {
  detail::for_row_blocks(x.rows, detail::norm_rows, [&](std::size_t i) {
    const T* in = x.row(i);
    T* o = out.row(i);
    const T r = detail::reciprocal_rms(in, x.cols, epsilon);
    for (std::size_t j = 0; j < x.cols; ++j) o[j] = in[j] * r * weight[j];
  });
}

/// Gradients: dx (M, d) is added to unless it is empty; dweight (d) is added to unless it is null.
template <class T>
void rms_norm_backward(MatrixView<const T> x, const T* weight, T epsilon, MatrixView<const T> dout,
                       MatrixView<T> dx, T* dweight, Workspace& workspace) {
  const Workspace::Scope scope(workspace);
  const std::size_t d = x.cols;
  T* scales = workspace.take<T>(x.rows).data();
  detail::for_row_blocks(x.rows, detail::norm_rows, [&](std::size_t i) {
    const T* in = x.row(i);
    const T* g = dout.row(i);
    const T r = detail::reciprocal_rms(in, d, epsilon);
    scales[i] = r;
    if (!dx) return;
    const T dot = detail::sum_of<T>(
        d,
        [&](std::size_t j, Simd<T> sum) {
          return fma(Simd<T>::load_unaligned(g + j) * Simd<T>::load_unaligned(weight + j),
                     Simd<T>::load_unaligned(in + j), sum);
        },
        [&](std::size_t j) { return g[j] * weight[j] * in[j]; });
    const T c = dot * r * r * r / static_cast<T>(d);
    T* o = dx.row(i);
    for (std::size_t j = 0; j < d; ++j) o[j] += g[j] * weight[j] * r - in[j] * c;
  });
  if (dweight == nullptr) return;
  constexpr std::size_t block = 64;
  parallel_for((d + block - 1) / block, [&](std::size_t task) {
    const std::size_t first = task * block;
    const std::size_t last = std::min(d, first + block);
    for (std::size_t i = 0; i < x.rows; ++i) {
      for (std::size_t j = first; j < last; ++j) dweight[j] += dout(i, j) * x(i, j) * scales[i];
    }
  });
}

}  // namespace SDLORA_SIMD_TAG

}  // namespace sdlora
