#pragma once

#include "../../error.hpp"
#include "../bfloat16.hpp"
#include "../detail/bounded_cache.hpp"
#include "../detail/column_major_product.hpp"
#include "../device.hpp"
#include "../matmul_backend.hpp"
#include "../matrix_view.hpp"
#include "../write.hpp"
#include "detail/check.cuh"
#include "storage.cuh"
#include "stream.cuh"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

// cuBLASLt as the backend of products on the GPU. No part of <sdlora/cuda.cuh>: a program that wants it
// includes this header in one source, links sdlora::cublaslt, and calls use_cublaslt() at the beginning of
// main.

namespace sdlora {

/// How cuBLASLt multiplies floats. Products of bfloat16 are the same either way.
struct CublasLtOptions {
  /// Rounds both operands to TF32, which has 10 bits behind the point in place of 23, for the tensor cores;
  /// sums are floats.
  bool tf32 = false;
};

namespace detail {

inline void check_cublaslt(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string("cuBLASLt: ") + what + " failed: " + cublasLtGetStatusString(status) + " (" +
              cublasLtGetStatusName(status) + "); without use_cublaslt() products are sdlora's own kernel's");
}

/// What cuBLASLt chooses an algorithm by.
struct CublasLtKey {
  ColumnMajorProduct product;
  std::size_t left_aligned = 0, right_aligned = 0, out_aligned = 0;  // bytes
  cudaDataType_t type = CUDA_R_32F;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  auto operator<=>(const CublasLtKey&) const = default;
};

/// A product in cuBLASLt's own terms.
struct CublasLtDescriptors {
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t left{}, right{}, out{};

  explicit CublasLtDescriptors(const CublasLtKey& key) {
    check_cublaslt(cublasLtMatmulDescInit(&operation, key.compute, CUDA_R_32F), "describing a product");
    const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool transposed) {
      const cublasOperation_t how = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
      check_cublaslt(cublasLtMatmulDescSetAttribute(&operation, which, &how, sizeof how),
                     "describing a product");
    };
    transpose(CUBLASLT_MATMUL_DESC_TRANSA, key.product.transpose_left);
    transpose(CUBLASLT_MATMUL_DESC_TRANSB, key.product.transpose_right);
    const auto layout = [](cublasLtMatrixLayoutOpaque_t& to, const ColumnMajorMatrix& x,
                           cudaDataType_t type) {
      check_cublaslt(
          cublasLtMatrixLayoutInit(&to, type, x.rows, x.cols, static_cast<std::int64_t>(x.leading)),
          "describing a matrix");
    };
    layout(left, key.product.left, key.type);
    layout(right, key.product.right, key.type);
    layout(out, key.product.out, CUDA_R_32F);
  }
};

/// cuBLASLt on one device: its handle, and the algorithms that it chose. They are asked for by one thread at
/// a time, which queues its work and goes on.
class CublasLtDevice {
 public:
  /// So many algorithms are kept.
  static constexpr std::size_t most_algorithms = 512;
  /// What NVIDIA recommends for Hopper. An algorithm takes what it needs of it, for as long as it runs.
  static constexpr std::size_t most_scratch = std::size_t{32} << 20;

  /// That of the current device. Throws Error.
  static CublasLtDevice& current() {
    static std::mutex mutex;
    // Lives to the end of the process: the runtime may be gone before static objects are.
    static auto& devices = *new std::map<int, CublasLtDevice>();
    int device = 0;
    check_cuda(cudaGetDevice(&device), "cuBLASLt");
    const std::lock_guard lock(mutex);
    return devices.try_emplace(device, device).first->second;
  }

  explicit CublasLtDevice(int device) {
    int major = 0;
    check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cuBLASLt");
    bfloat16_ = major >= 8;
    check_cublaslt(cublasLtCreate(&handle_), "its start");
  }
  CublasLtDevice(const CublasLtDevice&) = delete;
  CublasLtDevice& operator=(const CublasLtDevice&) = delete;

  /// Whether the device's tensor cores take bfloat16.
  bool multiplies_bfloat16() const { return bfloat16_; }

  /// Queues out = scale · op(left) · op(right), or out += that, on the thread's current stream; false where
  /// cuBLASLt has no algorithm.
  bool multiply(const CublasLtKey& key, const void* left, const void* right, float* out, Write write,
                float scale) {
    CublasLtDescriptors x(key);
    const std::lock_guard lock(mutex_);
    const std::optional<Algorithm>* known = algorithms_.find(key);
    const std::optional<Algorithm> algorithm =
        known != nullptr ? *known : algorithms_.insert(key, choose(key));
    if (!algorithm) return false;
    // Taken and given back on the stream, so that streams do not share it and a graph's capture holds both.
    const Storage<std::byte, Cuda> scratch(algorithm->scratch);
    const float keep = write == Write::Add ? 1.0F : 0.0F;
    check_cublaslt(cublasLtMatmul(handle_, &x.operation, &scale, left, &x.left, right, &x.right, &keep, out,
                                  &x.out, out, &x.out, &algorithm->how, scratch.data(), algorithm->scratch,
                                  CudaStream::current().get()),
                   "a matrix product");
    return true;
  }

 private:
  struct Algorithm {
    cublasLtMatmulAlgo_t how;
    std::size_t scratch;  // bytes
  };

  /// Nothing where cuBLASLt has none.
  std::optional<Algorithm> choose(const CublasLtKey& key) const {
    CublasLtDescriptors x(key);
    cublasLtMatmulPreferenceOpaque_t preference{};
    check_cublaslt(cublasLtMatmulPreferenceInit(&preference), "a preference");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
      check_cublaslt(cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value),
                     "a preference");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{most_scratch});
    // Else it takes operands to begin at multiples of 256 bytes.
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(key.left_aligned));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(key.right_aligned));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(key.out_aligned));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(key.out_aligned));
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle_, &x.operation, &x.left, &x.right, &x.out, &x.out, &preference, 1, &best, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
    check_cublaslt(status, "the choice of an algorithm");
    if (count == 0 || best.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    return Algorithm{best.algo, best.workspaceSize};
  }

  std::mutex mutex_;
  cublasLtHandle_t handle_{};
  bool bfloat16_ = false;
  BoundedCache<CublasLtKey, std::optional<Algorithm>> algorithms_{most_algorithms};
};

}  // namespace detail

/// cuBLASLt's products of float, and of bfloat16 on GPUs whose tensor cores take that. Bits depend on the
/// GPU, on cuBLASLt's version, on shapes and strides, and on how addresses are aligned, up to 16 bytes.
///
/// Algorithms are kept by these. Work is queued on the thread's current stream. cuBLASLt loads a kernel when
/// it is first used, so what a CUDA graph captures must have run before.
class CublasLt : public MatmulBackendOn<Cuda> {
 public:
  explicit CublasLt(CublasLtOptions options = {}) : options_(options) {}

  /// One that never ends. Throws Error where the current device cannot be used.
  static const CublasLt& instance(CublasLtOptions options = {}) {
    static const auto& plain = *new CublasLt();
    static const auto& tf32 = *new CublasLt({.tf32 = true});
    detail::CublasLtDevice::current();
    return options.tf32 ? tf32 : plain;
  }

  const char* name() const override { return options_.tf32 ? "cuBLASLt (TF32)" : "cuBLASLt"; }

  bool multiply(MatrixView<float, Cuda> out, MatmulOperand<float, Cuda> a, MatmulOperand<float, Cuda> b,
                Write write, float scale) const override {
    return run(CUDA_R_32F, options_.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, out, a, b,
               write, scale);
  }

  /// Of the current device.
  bool multiplies_bfloat16() const override {
    return detail::CublasLtDevice::current().multiplies_bfloat16();
  }

  bool multiply(MatrixView<float, Cuda> out, MatmulOperand<BFloat16, Cuda> a, MatmulOperand<BFloat16, Cuda> b,
                Write write, float scale) const override {
    return run(CUDA_R_16BF, CUBLAS_COMPUTE_32F, out, a, b, write, scale);
  }

 private:
  template <class T>
  static bool run(cudaDataType_t type, cublasComputeType_t compute, MatrixView<float, Cuda> out,
                  const MatmulOperand<T, Cuda>& a, const MatmulOperand<T, Cuda>& b, Write write,
                  float scale) {
    const auto product = detail::column_major_product(out, a, b);
    // A scale of 0 makes cuBLASLt read no operand, and 0 · NaN would be 0.
    if (!product || scale == 0.0F) return false;
    const auto aligned = [](const void* p) {
      const auto address = reinterpret_cast<std::uintptr_t>(p);
      return static_cast<std::size_t>(std::min<std::uintptr_t>(16, address & (~address + 1)));
    };
    const detail::CublasLtKey key{
        *product, aligned(b.values.data), aligned(a.values.data), aligned(out.data), type, compute};
    return detail::CublasLtDevice::current().multiply(key, b.values.data, a.values.data, out.data, write,
                                                      scale);
  }

  CublasLtOptions options_;
};

/// Gives all later products of float and bfloat16 on GPUs to cuBLASLt; the first thing in `main`. Throws
/// Error where the current device cannot be used.
inline void use_cublaslt(CublasLtOptions options = {}) {
  use_matmul_backend<Cuda>(&CublasLt::instance(options));
}

}  // namespace sdlora
