#pragma once

#include "matrix_view.hpp"

// Eigen as a system header would still warn under nvcc.
#if defined(__CUDACC__)
#pragma nv_diagnostic push
#pragma nv_diag_suppress 68, 20011, 20012, 20013, 20014, 20015
#endif
// GCC 12 warns of its own AVX-512 intrinsics where they are inlined (bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif

namespace sdlora::detail {

template <class T>
auto eigen_map(MatrixView<T> view) {
  using Scalar = std::remove_const_t<T>;
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Maybe = std::conditional_t<std::is_const_v<T>, const Matrix, Matrix>;
  using Index = Eigen::Index;
  return Eigen::Map<Maybe, Eigen::Unaligned, Eigen::OuterStride<>>(
      view.data, static_cast<Index>(view.rows), static_cast<Index>(view.cols),
      Eigen::OuterStride<>(static_cast<Index>(view.stride)));
}

/// Keeps Eigen, which splits products itself where a program is compiled with OpenMP, to the calling thread:
/// each task of `matmul` would start a team of its own. Not by EIGEN_DONT_PARALLELIZE, which would act on a
/// user's products too, by the order of includes.
class OneEigenThread {
 public:
#if defined(EIGEN_HAS_OPENMP)
  OneEigenThread() { omp_set_num_threads(1); }
  ~OneEigenThread() { omp_set_num_threads(before_); }
  OneEigenThread(const OneEigenThread&) = delete;
  OneEigenThread& operator=(const OneEigenThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
#endif
};

/// The backend of `matmul`: out (+)= scale · op(a) · op(b), on the calling thread (unless the program called
/// Eigen::setNbThreads, which stands above all else).
struct EigenBackend {
  template <bool TransposeA, bool TransposeB, class T>
  static void product(MatrixView<T> out, MatrixView<const T> a, MatrixView<const T> b, T scale) {
    [[maybe_unused]] const OneEigenThread one;
    auto c = eigen_map(out);
    const auto left = eigen_map(a);
    const auto right = eigen_map(b);
    if constexpr (TransposeA) {
      c.noalias() += scale * left.transpose() * right;
    } else if constexpr (TransposeB) {
      c.noalias() += scale * left * right.transpose();
    } else {
      c.noalias() += scale * left * right;
    }
  }
};

}  // namespace sdlora::detail
