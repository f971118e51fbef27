// expect: the operands of an element-wise expression are on different devices
#include <sdlora/tensor/evaluate.hpp>

#ifdef SDLORA_EXPECT_FAILURE
using Device = sdlora::Cuda;
#else
using Device = sdlora::Cpu;
#endif

int main() {
  const sdlora::Tensor<float, sdlora::Extents<5>> a;
  const sdlora::TensorView<const float, sdlora::Extents<5>, Device> b;
  return static_cast<int>((a + b).extents().size()) - 5;
}
