#pragma once

#include <sdlora/tensor/tensor.hpp>

namespace sdlora_test {

/// Tensors to a device and back.
template <class To>
struct CopyThrough {
  using Device = To;
  template <class T, class E>
  sdlora::Tensor<T, E, To> put(const sdlora::Tensor<T, E>& tensor) const {
    sdlora::Tensor<T, E, To> result(tensor.extents(), sdlora::uninitialized);
    sdlora::Storage<T, To>::write(result.data(), tensor.data(), tensor.size());
    return result;
  }
  template <class T, class E>
  sdlora::Tensor<T, E> get(const sdlora::Tensor<T, E, To>& tensor) const {
    sdlora::Tensor<T, E> result(tensor.extents(), sdlora::uninitialized);
    sdlora::Storage<T, To>::read(result.data(), tensor.data(), tensor.size());
    return result;
  }
};

}  // namespace sdlora_test
