#pragma once

#include "bfloat16.hpp"
#include "matrix_view.hpp"
#include "write.hpp"

#include <atomic>
#include <cstddef>
#include <memory>

namespace sdlora {

/// A right operand in a backend's own layout, made once by `MatmulBackend::pack`.
class PackedOperand {
 public:
  PackedOperand() = default;
  PackedOperand(const PackedOperand&) = delete;
  PackedOperand& operator=(const PackedOperand&) = delete;
  virtual ~PackedOperand() = default;
  /// The memory that it takes.
  virtual std::size_t bytes() const = 0;
};

/// An operand of `MatmulBackend::multiply`: a matrix of float or BFloat16, or its transpose. A right operand
/// may come with what the same backend's `pack` made of it.
template <class T>
struct MatmulOperand {
  MatrixView<const T> values;
  bool transposed = false;
  const PackedOperand* packed = nullptr;
};

/// Multiplies matrices of the host in Eigen's place, once `use_matmul_backend` has named it. sdlora cuts each
/// product into blocks by its shape, and its thread team calls a backend for several of them at the same
/// time. So a backend computes on the calling thread alone, and the bits of a block depend on the arguments
/// alone: then results do not depend on the number of threads. It must last until it is no longer in use.
class MatmulBackend {
 public:
  MatmulBackend() = default;
  MatmulBackend(const MatmulBackend&) = delete;
  MatmulBackend& operator=(const MatmulBackend&) = delete;
  virtual ~MatmulBackend() = default;

  /// For messages and the identity of runs.
  virtual const char* name() const = 0;

  /// out = scale · op(a) · op(b), or out += that; shapes fit and no extent is 0. False, with out as it was,
  /// leaves this product to Eigen.
  virtual bool multiply(MatrixView<float> out, MatmulOperand<float> a, MatmulOperand<float> b, Write write,
                        float scale) const = 0;

  /// Whether this machine multiplies bfloat16 by it, with float sums. Else sdlora gives it panels of floats
  /// that were rounded to bfloat16.
  virtual bool multiplies_bfloat16() const { return false; }

  /// The same product of bfloat16, where `multiplies_bfloat16`. False makes sdlora widen both operands.
  virtual bool multiply(MatrixView<float> out, MatmulOperand<BFloat16> a, MatmulOperand<BFloat16> b,
                        Write write, float scale) const {
    static_cast<void>(out), static_cast<void>(a), static_cast<void>(b);
    static_cast<void>(write), static_cast<void>(scale);
    return false;
  }

  /// A right operand in a layout that suits left operands of about `rows` rows; null where there is no better
  /// one than that of the matrix.
  virtual std::unique_ptr<PackedOperand> pack(MatmulOperand<float> b, std::size_t rows) const {
    static_cast<void>(b), static_cast<void>(rows);
    return nullptr;
  }
  virtual std::unique_ptr<PackedOperand> pack(MatmulOperand<BFloat16> b, std::size_t rows) const {
    static_cast<void>(b), static_cast<void>(rows);
    return nullptr;
  }
};

namespace detail {
inline std::atomic<const MatmulBackend*> matmul_backend_in_use{nullptr};
}

/// The backend of products on the host; null for Eigen.
inline const MatmulBackend* matmul_backend() {
  return detail::matmul_backend_in_use.load(std::memory_order_acquire);
}

/// Its name; "Eigen" where none was chosen.
inline const char* matmul_backend_name() {
  const MatmulBackend* backend = matmul_backend();
  return backend == nullptr ? "Eigen" : backend->name();
}

/// Gives all later products of float and bfloat16 on the host to a backend; null gives them back to Eigen.
/// A program chooses once, at the beginning of `main`: the bits of products differ from backend to backend.
inline void use_matmul_backend(const MatmulBackend* backend) {
  detail::matmul_backend_in_use.store(backend, std::memory_order_release);
}

}  // namespace sdlora
