#pragma once

#include "../tensor.hpp"
#include "detail/check.cuh"
#include "storage.cuh"
#include "stream.cuh"

#include <cuda_runtime.h>
#include <cstddef>
#include <type_traits>

namespace sdlora {

namespace detail {

template <class From, class To>
void check_same_extents(const From& from, const To& to) {
  if (!(from == to)) {
    throw ShapeError("copy between host and device: expected equal extents, found " + to_string(from) +
                     " to copy from and " + to_string(to) + " to copy to");
  }
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

/// Copies values from the host to the GPU, on the thread's current stream. Host memory that the runtime has
/// pinned must stay as it is until the stream gets there; other memory is free again on return, for which a
/// device that reads the host's memory by itself is waited for.
/// Throws ShapeError where the extents differ.
template <class T, class From, class U, class To>
  requires std::is_same_v<std::remove_const_t<T>, U>
void copy(const TensorView<T, From, Cpu>& from, const TensorView<U, To, Cuda>& to) {
  detail::check_same_extents(from.extents(), to.extents());
  if (from.size() == 0) return;
  detail::check_cuda(cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(U), cudaMemcpyHostToDevice,
                                     CudaStream::current().get()),
                     "copy from host to device");
  if (detail::reads_pageable_memory()) CudaStream::current().wait();
}

/// Copies values from the GPU to the host; returns when they are there.
/// Throws ShapeError where the extents differ.
template <class T, class From, class U, class To>
  requires std::is_same_v<std::remove_const_t<T>, U>
void copy(const TensorView<T, From, Cuda>& from, const TensorView<U, To, Cpu>& to) {
  detail::check_same_extents(from.extents(), to.extents());
  if (from.size() == 0) return;
  const CudaStream& stream = CudaStream::current();
  detail::check_cuda(
      cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(U), cudaMemcpyDeviceToHost, stream.get()),
      "copy from device to host");
  stream.wait();
}

/// The same tensor in the memory of the GPU.
template <class T, class E>
Tensor<T, E, Cuda> to_device(const Tensor<T, E, Cpu>& tensor) {
  Tensor<T, E, Cuda> result(tensor.extents(), uninitialized);
  copy(tensor.view(), result.view());
  return result;
}

/// The same tensor in the memory of the host.
template <class T, class E>
Tensor<T, E, Cpu> to_host(const Tensor<T, E, Cuda>& tensor) {
  Tensor<T, E, Cpu> result(tensor.extents(), uninitialized);
  copy(tensor.view(), result.view());
  return result;
}

}  // namespace sdlora
