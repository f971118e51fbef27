// expect: an expression does not have the static extents of its destination
#include <sdlora/tensor/evaluate.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<3, 5>> a;
  sdlora::Tensor<float, sdlora::Extents<1, 5>> row;
#ifdef SDLORA_EXPECT_FAILURE
  row += a;
#else
  a += row;
#endif
  return 0;
}
