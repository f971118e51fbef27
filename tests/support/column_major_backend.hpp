#pragma once

#include <sdlora/tensor/detail/column_major_product.hpp>
#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/matmul_backend.hpp>

#include <cstddef>
#include <stdexcept>

namespace sdlora_test {

/// out = scale · op(left) · op(right), or out += that, of column-major matrices, as BLAS defines it. Throws
/// what a BLAS refuses: extents that do not fit, and leading dimensions shorter than a column.
template <class T>
void column_major_gemm(const sdlora::detail::ColumnMajorProduct& x, const T* left, const T* right, float* out,
                       sdlora::Write write, float scale) {
  for (const auto& matrix : {x.left, x.right, x.out}) {
    if (matrix.leading < matrix.rows || matrix.leading == 0) throw std::logic_error("leading dimension");
  }
  const auto rows = [](const auto& of, bool transposed) { return transposed ? of.cols : of.rows; };
  const auto cols = [](const auto& of, bool transposed) { return transposed ? of.rows : of.cols; };
  const std::size_t m = rows(x.left, x.transpose_left), inner = cols(x.left, x.transpose_left);
  const std::size_t n = cols(x.right, x.transpose_right);
  if (m != x.out.rows || n != x.out.cols || inner != rows(x.right, x.transpose_right)) {
    throw std::logic_error("extents");
  }
  const auto element = [](const T* data, const auto& of, bool transposed, std::size_t i, std::size_t j) {
    return static_cast<float>(transposed ? data[j + i * of.leading] : data[i + j * of.leading]);
  };
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m; ++i) {
      float sum = 0;
      for (std::size_t k = 0; k < inner; ++k) {
        sum +=
            element(left, x.left, x.transpose_left, i, k) * element(right, x.right, x.transpose_right, k, j);
      }
      float& to = out[i + j * x.out.leading];
      to = write == sdlora::Write::Add ? to + scale * sum : scale * sum;
    }
  }
}

/// A column-major library as the backend of the emulated device: what cuBLASLt is to a GPU.
class ColumnMajorBackend : public sdlora::MatmulBackendOn<sdlora::Emulated> {
 public:
  using View = sdlora::MatrixView<float, sdlora::Emulated>;
  template <class T>
  using Operand = sdlora::MatmulOperand<T, sdlora::Emulated>;

  bool bfloat16 = true;
  bool refuses = false;

  const char* name() const override { return "column-major"; }
  bool multiplies_bfloat16() const override { return bfloat16; }
  bool multiply(View out, Operand<float> a, Operand<float> b, sdlora::Write write,
                float scale) const override {
    return run(out, a, b, write, scale);
  }
  bool multiply(View out, Operand<sdlora::BFloat16> a, Operand<sdlora::BFloat16> b, sdlora::Write write,
                float scale) const override {
    return run(out, a, b, write, scale);
  }

 private:
  template <class T>
  bool run(View out, const Operand<T>& a, const Operand<T>& b, sdlora::Write write, float scale) const {
    const auto product = sdlora::detail::column_major_product(out, a, b);
    if (!product || refuses) return false;
    const sdlora::detail::EmulatedMemory::Access access;
    column_major_gemm(*product, b.values.data, a.values.data, out.data, write, scale);
    return true;
  }
};

}  // namespace sdlora_test
