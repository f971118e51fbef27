// expect: the operands of an element-wise expression hold different types of value
#include <sdlora/tensor/evaluate.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<5>> a;
#ifdef SDLORA_EXPECT_FAILURE
  sdlora::Tensor<double, sdlora::Extents<5>> b;
#else
  sdlora::Tensor<float, sdlora::Extents<5>> b;
#endif
  return static_cast<int>(evaluate(a + b).size()) - 5;
}
