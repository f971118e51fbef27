#pragma once

// Device memory of the GPU's suite, and what it is filled with.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/error.hpp>
#include <sdlora/tensor/cuda/detail/check.cuh>
#include <string>
#include <vector>

namespace gpu_suite {

using namespace sdlora;
using sdlora::detail::check_cuda;

/// The device has not the memory that a shape needs: that shape is refused, the others go on.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// Device memory of `count` values, freed with the object.
template <class T>
class Memory {
 public:
  explicit Memory(std::size_t count) : count_(count) {
    const std::size_t bytes = std::max<std::size_t>(count, 1) * sizeof(T);
    const cudaError_t status = cudaMalloc(&data_, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // else the next launch would report it
      throw OutOfMemory("the device has not another " + std::to_string(bytes >> 20U) + " MiB free");
    }
    check_cuda(status, "cudaMalloc");
  }
  explicit Memory(const std::vector<T>& values) : Memory(values.size()) {
    check_cuda(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
               "cudaMemcpy");
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  T* get() const { return data_; }
  std::size_t count() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

template <class T>
__global__ void fill_kernel(T* to, std::size_t count, float low, float high, unsigned seed) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    unsigned x = static_cast<unsigned>(i) * 2654435761U + seed;
    x = (x ^ (x >> 16)) * 0x7feb352dU;
    x = (x ^ (x >> 15)) * 0x846ca68bU;
    x ^= x >> 16;
    to[i] = T(low + (high - low) * static_cast<float>(x >> 8) * 0x1p-24F);
  }
}

/// Fills with values in [low, high), the same for the same seed.
template <class T>
void fill(const Memory<T>& memory, float low, float high, unsigned seed) {
  fill_kernel<<<2048, 256>>>(memory.get(), memory.count(), low, high, seed);
  check_cuda(cudaGetLastError(), "fill");
}

/// The data that variants ran on last. Neighbours in the suite, and Google Benchmark's repeated calls of one,
/// share them; data of another shape take their place, so that only one shape's are ever held.
class Kept {
 public:
  /// The data named `key`; `make()` gives a std::shared_ptr<T> to them where they are not there yet.
  template <class T, class Make>
  static T& get(const std::string& key, Make&& make) {
    Kept& kept = instance();
    if (kept.key_ != key) {
      release();
      const std::shared_ptr<T> made = make();
      kept.data_ = made;
      kept.key_ = key;
    }
    return *static_cast<T*>(kept.data_.get());
  }

  /// Frees them; to be called before the runtime ends.
  static void release() {
    instance().data_.reset();
    instance().key_.clear();
  }

 private:
  static Kept& instance() {
    static Kept kept;
    return kept;
  }

  std::string key_;
  std::shared_ptr<void> data_;
};

}  // namespace gpu_suite
