// expect: elements are read and written in host memory; copy the tensor to the Cpu first
#include <sdlora/tensor/tensor.hpp>

/// A device of one's own, with the memory of the host.
struct Elsewhere {};

template <class T>
class sdlora::Storage<T, Elsewhere> : public sdlora::Storage<T, sdlora::Cpu> {
  using Storage<T, sdlora::Cpu>::Storage;
};

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  const sdlora::Tensor<float, sdlora::Extents<5>, Elsewhere> a;
#else
  const sdlora::Tensor<float, sdlora::Extents<5>> a;
#endif
  return static_cast<int>(a(2));
}
