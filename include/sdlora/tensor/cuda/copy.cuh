#pragma once

#include "../tensor.hpp"
#include "storage.cuh"

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

}  // namespace detail

/// Copies values from the host to the GPU, on the thread's current stream. Host memory that the runtime has
/// pinned must stay as it is until the stream gets there; other memory is free again on return, for which a
/// device that reads the host's memory by itself is waited for.
/// Throws ShapeError where the extents differ.
template <class T, class From, class U, class To>
  requires std::is_same_v<std::remove_const_t<T>, U>
void copy(const TensorView<T, From, Cpu>& from, const TensorView<U, To, Cuda>& to) {
  detail::check_same_extents(from.extents(), to.extents());
  Storage<U, Cuda>::write(to.data(), from.data(), from.size());
}

/// Copies values from the GPU to the host; returns when they are there.
/// Throws ShapeError where the extents differ.
template <class T, class From, class U, class To>
  requires std::is_same_v<std::remove_const_t<T>, U>
void copy(const TensorView<T, From, Cuda>& from, const TensorView<U, To, Cpu>& to) {
  detail::check_same_extents(from.extents(), to.extents());
  Storage<U, Cuda>::read(to.data(), from.data(), from.size());
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
