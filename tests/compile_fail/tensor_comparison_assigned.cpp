// expect: a comparison has no numbers to assign; use select
#include <sdlora/tensor/evaluate.hpp>

int main() {
  sdlora::Tensor<float, sdlora::Extents<5>> a, b;
#ifdef SDLORA_EXPECT_FAILURE
  b = a < 1;
#else
  b = select(a < 1, 1, 0 * a);
#endif
  return static_cast<int>(b(0)) - 1;
}
