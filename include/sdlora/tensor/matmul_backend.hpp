#pragma once

#include "bfloat16.hpp"
#include "device.hpp"
#include "matrix_view.hpp"
#include "write.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace sdlora {

/// A right operand in a backend's own layout, made once by the backend's `pack`.
class PackedOperand {
 public:
  PackedOperand() = default;
  PackedOperand(const PackedOperand&) = delete;
  PackedOperand& operator=(const PackedOperand&) = delete;
  virtual ~PackedOperand() = default;
  /// The memory that it takes.
  virtual std::size_t bytes() const = 0;
};

/// An operand of a backend's `multiply`: a matrix of float or BFloat16, or its transpose. A right operand on
/// the `Cpu` may come with what the same backend's `pack` made of it.
template <class T, class Device = Cpu>
struct MatmulOperand {
  MatrixView<const T, Device> values;
  bool transposed = false;
  const PackedOperand* packed = nullptr;
};

/// Multiplies matrices of a device in the place of Eigen (on the `Cpu`) or of sdlora's tiled kernel (on
/// devices that run kernels), once `use_matmul_backend` has named it. It must last until it is no longer in
/// use. Any thread may call it.
///
/// On the `Cpu` sdlora cuts each product into blocks by its shape, and its thread team calls a backend for
/// several of them at the same time. So a backend computes on the calling thread alone, and the bits of a
/// block depend on the arguments alone: then results do not depend on the number of threads.
///
/// On a device that runs kernels a product comes whole. All matrices lie in the device's memory, and the
/// backend queues its work where a `Launcher` would: behind what this thread has queued before.
template <class Device>
class MatmulBackendOn {
 public:
  using device_type = Device;

  MatmulBackendOn() = default;
  MatmulBackendOn(const MatmulBackendOn&) = delete;
  MatmulBackendOn& operator=(const MatmulBackendOn&) = delete;
  virtual ~MatmulBackendOn() = default;

  /// For messages and the identity of runs.
  virtual const char* name() const = 0;

  /// out = scale · op(a) · op(b), or out += that; shapes fit and no extent is 0. False, with out as it was,
  /// leaves this product to Eigen or to the tiled kernel.
  virtual bool multiply(MatrixView<float, Device> out, MatmulOperand<float, Device> a,
                        MatmulOperand<float, Device> b, Write write, float scale) const = 0;

  /// Whether this machine multiplies bfloat16 by it, with float sums. Else the host's sdlora gives it panels
  /// of floats that were rounded to bfloat16, and other devices' products stay with the tiled kernel.
  virtual bool multiplies_bfloat16() const { return false; }

  /// The same product of bfloat16, where `multiplies_bfloat16`. False leaves it to sdlora: on the `Cpu` both
  /// operands are widened, elsewhere the tiled kernel multiplies.
  virtual bool multiply(MatrixView<float, Device> out, MatmulOperand<BFloat16, Device> a,
                        MatmulOperand<BFloat16, Device> b, Write write, float scale) const {
    static_cast<void>(out), static_cast<void>(a), static_cast<void>(b);
    static_cast<void>(write), static_cast<void>(scale);
    return false;
  }

  /// On the `Cpu`, a right operand in a layout that suits left operands of about `rows` rows; null where
  /// there is no better one than that of the matrix.
  virtual std::unique_ptr<PackedOperand> pack(MatmulOperand<float, Device> b, std::size_t rows) const {
    static_cast<void>(b), static_cast<void>(rows);
    return nullptr;
  }
  virtual std::unique_ptr<PackedOperand> pack(MatmulOperand<BFloat16, Device> b, std::size_t rows) const {
    static_cast<void>(b), static_cast<void>(rows);
    return nullptr;
  }
};

/// The host's.
using MatmulBackend = MatmulBackendOn<Cpu>;

namespace detail {
template <class Device>
inline std::atomic<const MatmulBackendOn<Device>*> matmul_backend_in_use{nullptr};
}

/// The backend of products on a device; null for Eigen, or for the tiled kernel.
template <class Device = Cpu>
const MatmulBackendOn<Device>* matmul_backend() {
  return detail::matmul_backend_in_use<Device>.load(std::memory_order_acquire);
}

/// Its name; where none was chosen "Eigen", or "tiled kernel" on devices that run kernels.
template <class Device = Cpu>
const char* matmul_backend_name() {
  const MatmulBackendOn<Device>* backend = matmul_backend<Device>();
  if (backend != nullptr) return backend->name();
  return is_host<Device> ? "Eigen" : "tiled kernel";
}

/// Gives all later products of float and bfloat16 on a device to a backend; null gives them back. A program
/// chooses once, at the beginning of `main`: the bits of products differ from backend to backend. For a
/// device other than the `Cpu`: `use_matmul_backend<Cuda>(&backend)`.
template <class Device = Cpu>
void use_matmul_backend(std::type_identity_t<const MatmulBackendOn<Device>*> backend) {
  detail::matmul_backend_in_use<Device>.store(backend, std::memory_order_release);
}

}  // namespace sdlora
