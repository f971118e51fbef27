// expect: the operands of an element-wise expression have extents that do not broadcast
#include <sdlora/tensor/evaluate.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<3, 5>> a;
#ifdef SDLORA_EXPECT_FAILURE
  sdlora::Tensor<float, sdlora::Extents<3, 4>> b;
#else
  sdlora::Tensor<float, sdlora::Extents<3, 1>> b;
#endif
  return static_cast<int>(evaluate(a * b).size()) - 15;
}
