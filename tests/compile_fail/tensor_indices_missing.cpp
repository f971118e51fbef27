// expect: an element is named by as many indices as the tensor has extents
#include <sdlora/tensor/tensor.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<3, 5>> a;
#ifdef SDLORA_EXPECT_FAILURE
  return static_cast<int>(a(1));
#else
  return static_cast<int>(a(1, 2));
#endif
}
