#pragma once

#include "../device.hpp"
#include "../extents.hpp"
#include "detail/check.cuh"
#include "stream.cuh"

#include <cuda_runtime.h>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <type_traits>
#include <utility>

namespace sdlora {

namespace detail {

/// The pool of the current device. It keeps what is freed, so that a step after the first asks the driver
/// for nothing. Lives to the end of the process: the runtime may be gone before static objects are.
inline cudaMemPool_t cuda_pool() {
  static std::mutex mutex;
  static auto& pools = *new std::map<int, cudaMemPool_t>();
  int device = 0;
  check_cuda(cudaGetDevice(&device), "device memory");
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = pools.find(device);
  if (found != pools.end()) return found->second;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  cudaMemPool_t pool{};
  check_cuda(cudaMemPoolCreate(&pool, &properties), "pool of device memory");
  std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
  check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "pool of device memory");
  return pools[device] = pool;
}

/// Whether the current device reads memory of the host that is not pinned where it lies, so that a copy need
/// not stage it first.
inline bool reads_pageable_memory() {
  int device = 0;
  int reads = 0;
  check_cuda(cudaGetDevice(&device), "current device");
  check_cuda(cudaDeviceGetAttribute(&reads, cudaDevAttrPageableMemoryAccess, device), "pageable memory");
  return reads != 0;
}

}  // namespace detail

/// Gives the memory that ended tensors of the current device have left back to it, for other programs and
/// libraries; what queued work still uses stays. Throws Error.
inline void release_cuda_memory() {
  detail::check_cuda(cudaMemPoolTrimTo(detail::cuda_pool(), 0), "release_cuda_memory");
}

/// Memory of a tensor on the GPU, from a stream-ordered pool: taken on the thread's current stream and given
/// back on the same, after the work that is queued there by then. It lies on the device that is current, and
/// must end with that one current. While a graph is captured, what was allocated before must not end: it
/// would be lost. Throws Error where memory runs out.
template <class T>
class Storage<T, Cuda> {
  static_assert(std::is_trivially_copyable_v<T>, "sdlora::Storage: holds trivially copyable values only");

 public:
  Storage() = default;
  explicit Storage(std::size_t count) : stream_(CudaStream::current()), capacity_(count) {
    if (count == 0) return;
    void* memory = nullptr;
    detail::check_cuda(cudaMallocFromPoolAsync(&memory, detail::checked_bytes(count, sizeof(T), "Storage"),
                                               detail::cuda_pool(), stream_.get()),
                       "device memory of a tensor");
    data_ = static_cast<T*>(memory);
  }
  Storage(Storage&& other) noexcept
      : stream_(std::move(other.stream_)),
        data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Storage& operator=(Storage&& other) noexcept {
    if (this != &other) {
      release();
      stream_ = std::move(other.stream_);
      data_ = std::exchange(other.data_, nullptr);
      capacity_ = std::exchange(other.capacity_, 0);
    }
    return *this;
  }
  ~Storage() { release(); }

  T* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

  static void zero(T* p, std::size_t count) {
    if (count == 0) return;
    detail::check_cuda(cudaMemsetAsync(p, 0, count * sizeof(T), CudaStream::current().get()),
                       "zeros of a device tensor");
  }
  static void copy(T* to, const T* from, std::size_t count) {
    if (count == 0 || to == from) return;
    if (to < from + count && from < to + count) {
      const Storage between(count);
      copy(between.data(), from, count);
      copy(to, between.data(), count);
      return;
    }
    detail::check_cuda(
        cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToDevice, CudaStream::current().get()),
        "copy of a device tensor");
  }
  static void write(T* to, const T* from, std::size_t count) {
    if (count == 0) return;
    detail::check_cuda(
        cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyHostToDevice, CudaStream::current().get()),
        "copy from host to device");
    if (detail::reads_pageable_memory()) CudaStream::current().wait();
  }
  static void read(T* to, const T* from, std::size_t count) {
    if (count == 0) return;
    const CudaStream& stream = CudaStream::current();
    detail::check_cuda(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToHost, stream.get()),
                       "copy from device to host");
    stream.wait();
  }

 private:
  void release() noexcept {
    // Fails when the runtime is shutting down, and the memory with it; and while a graph is captured, for
    // what was allocated before.
    if (data_ != nullptr) detail::ignore_failure(cudaFreeAsync(data_, stream_.get()));
    data_ = nullptr;
  }

  CudaStream stream_;
  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace sdlora
