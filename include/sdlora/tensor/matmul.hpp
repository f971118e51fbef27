#pragma once

#include "../error.hpp"
#include "detail/kernels/matmul.hpp"
#include "extents.hpp"
#include "matmul_backend.hpp"
#include "matmul_eigen.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"
#include "write.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sdlora {

/// Marks an operand of `matmul` as transposed. Nothing is moved.
template <class T, class Device = Cpu>
struct Transposed {
  MatrixView<const T, Device> of;
};

/// The operand `matrix`, to be read as its transpose.
template <class T, class D>
constexpr Transposed<std::remove_const_t<T>, D> transposed(MatrixView<T, D> matrix) {
  return {matrix};
}

/// How many matrix products ran, and their multiply-adds counted as two operations each.
struct MatmulStatistics {
  std::uint64_t products = 0;
  std::uint64_t flops = 0;
};

namespace detail {

inline std::atomic<std::uint64_t> matmul_products{0};
inline std::atomic<std::uint64_t> matmul_flops{0};

/// Rows or columns of one task: a multiple of every backend's register tile, large enough that
/// packing the shared operand again for each task stays cheap.
inline constexpr std::size_t matmul_block = 256;

[[noreturn]] inline void throw_matmul_shapes(std::size_t m, std::size_t n, std::size_t am, std::size_t ak,
                                             std::size_t bk, std::size_t bn) {
  throw ShapeError("matmul: expected out " + extents_text(am, bn) + " for a product of " +
                   extents_text(am, ak) + " and " + extents_text(bk, bn) +
                   " with equal inner extents, but out is " + extents_text(m, n) +
                   "; check which operand is to be transposed");
}

[[noreturn]] inline void throw_matmul_overlap(const char* which) {
  throw ArgumentError(std::string("matmul: out shares memory with the ") + which +
                      " operand, which would be overwritten before it is read; give out memory of its own");
}

/// The body of `matmul` on a device: `run<TransposeA, TransposeB>(out, a, b, write, scale)`, on shapes that
/// were checked. This one is of devices that run kernels: by the program's backend, or by the tiled kernel.
template <class Device>
struct Product {
  template <bool TransposeA, bool TransposeB, class T>
  static void run(MatrixView<T, Device> out, MatrixView<const T, Device> a, MatrixView<const T, Device> b,
                  Write write, T scale) {
    const MatmulBackendOn<Device>* backend = matmul_backend<Device>();
    const std::size_t inner = TransposeA ? a.rows : a.cols;
    if (backend != nullptr && inner != 0 &&
        backend->multiply(out, {a, TransposeA}, {b, TransposeB}, write, scale)) {
      return;
    }
    Launcher<Device> launcher("matmul");
    run_matmul<TransposeA, TransposeB>(launcher, out.bare(), a.bare(), b.bare(), write, scale);
  }
};

/// A product on the calling thread: by the program's backend, or by Eigen.
template <bool TransposeA, bool TransposeB, class T>
void multiply_block(MatrixView<T> out, MatrixView<const T> a, MatrixView<const T> b, Write write, T scale,
                    [[maybe_unused]] const MatmulBackend* backend,
                    [[maybe_unused]] const PackedOperand* packed = nullptr) {
  const std::size_t k = TransposeA ? a.rows : a.cols;
  if constexpr (std::is_same_v<T, float>) {
    if (backend != nullptr && k != 0 &&
        backend->multiply(out, {a, TransposeA}, {b, TransposeB, packed}, write, scale)) {
      return;
    }
  }
  if (write == Write::Overwrite) {
    for (std::size_t i = 0; i < out.rows; ++i) std::fill_n(out.row(i), out.cols, T(0));
  }
  if (k != 0) EigenBackend::product<TransposeA, TransposeB>(out, a, b, scale);
}

template <>
struct Product<Cpu> {
  template <bool TransposeA, bool TransposeB, class T>
  static void run(MatrixView<T> out, MatrixView<const T> a, MatrixView<const T> b, Write write, T scale) {
    // The longer side is cut into fixed blocks: the partition, and so every sum's order, depends on
    // the shape alone.
    const MatmulBackend* backend = matmul_backend();
    const bool by_rows = out.rows >= out.cols;
    const std::size_t length = by_rows ? out.rows : out.cols;
    parallel_for(detail::ceil_div(length, matmul_block), [&](std::size_t task) {
      const std::size_t first = task * matmul_block;
      const std::size_t count = std::min(matmul_block, length - first);
      const MatrixView<T> c = by_rows ? out.rows_from(first, count) : out.cols_from(first, count);
      MatrixView<const T> left = a;
      MatrixView<const T> right = b;
      if (by_rows) {
        left = TransposeA ? a.cols_from(first, count) : a.rows_from(first, count);
      } else {
        right = TransposeB ? b.rows_from(first, count) : b.cols_from(first, count);
      }
      multiply_block<TransposeA, TransposeB>(c, left, right, write, scale, backend);
    });
  }
};

/// Throws ShapeError where a product's shapes do not fit; false where there is nothing to do.
template <bool TransposeA, bool TransposeB, class Out, class A, class B>
bool check_matmul(const Out& out, const A& a, const B& b) {
  const std::size_t m = TransposeA ? a.cols : a.rows;
  const std::size_t k = TransposeA ? a.rows : a.cols;
  const std::size_t bk = TransposeB ? b.cols : b.rows;
  const std::size_t n = TransposeB ? b.rows : b.cols;
  if (out.rows != m || out.cols != n || bk != k) throw_matmul_shapes(out.rows, out.cols, m, k, bk, n);
  return m != 0 && n != 0;
}

inline void count_matmul(std::size_t m, std::size_t n, std::size_t k) {
  matmul_products.fetch_add(1, std::memory_order_relaxed);
  matmul_flops.fetch_add(2 * m * n * k, std::memory_order_relaxed);
}

template <bool TransposeA, bool TransposeB, class T, class D>
void matmul(MatrixView<T, D> out, MatrixView<const T, D> a, MatrixView<const T, D> b, Write write, T scale) {
  if (!check_matmul<TransposeA, TransposeB>(out, a, b)) return;
  if (share_memory<T, D>(out, a)) throw_matmul_overlap("first");
  if (share_memory<T, D>(out, b)) throw_matmul_overlap("second");
  count_matmul(out.rows, out.cols, TransposeA ? a.rows : a.cols);
  Product<D>::template run<TransposeA, TransposeB>(out, a, b, write, scale);
}

}  // namespace detail

/// out = scale · a · b, or out += scale · a · b. Shapes (M, N), (M, K), (K, N); throws ShapeError where they
/// do not fit, and ArgumentError where out shares memory with a or b (columns beside them in the same rows do
/// not). Runs on the thread team; the result does not depend on the number of threads.
template <class T, class D>
void matmul(MatrixView<T, D> out, std::type_identity_t<MatrixView<const T, D>> a,
            std::type_identity_t<MatrixView<const T, D>> b, Write write = Write::Overwrite,
            std::type_identity_t<T> scale = T(1)) {
  detail::matmul<false, false, T, D>(out, a, b, write, scale);
}

/// The same with b stored transposed, (N, K): a layer's y = x·Wᵀ.
template <class T, class D>
void matmul(MatrixView<T, D> out, std::type_identity_t<MatrixView<const T, D>> a, Transposed<T, D> b,
            Write write = Write::Overwrite, std::type_identity_t<T> scale = T(1)) {
  detail::matmul<false, true, T, D>(out, a, b.of, write, scale);
}

/// The same with a stored transposed, (K, M): a weight's gradient d_W = d_yᵀ·x.
template <class T, class D>
void matmul(MatrixView<T, D> out, Transposed<T, D> a, std::type_identity_t<MatrixView<const T, D>> b,
            Write write = Write::Overwrite, std::type_identity_t<T> scale = T(1)) {
  detail::matmul<true, false, T, D>(out, a.of, b, write, scale);
}

/// The products and operations since the program began, over all threads: for tests and ceilings.
inline MatmulStatistics matmul_statistics() {
  return {detail::matmul_products.load(std::memory_order_relaxed),
          detail::matmul_flops.load(std::memory_order_relaxed)};
}

}  // namespace sdlora
