// expect: a tensor takes over the shape of the expression assigned to it, and its extents do not allow this
// one
#include <sdlora/tensor/evaluate.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<3, 5>> a;
#ifdef SDLORA_EXPECT_FAILURE
  sdlora::Tensor<float, sdlora::Extents<4, 5>> b;
#else
  sdlora::Tensor<float, sdlora::Extents<sdlora::dyn, 5>> b;
#endif
  b = a + 1;
  return static_cast<int>(b.size()) - 15;
}
