// expect: sdlora::matmul: a weight of double meets activations of double, every other one those of float
#include <sdlora/tensor/weight_matmul.hpp>

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using T = double;
#else
  using T = float;
#endif
  T x[1] = {2}, y[1] = {};
  const sdlora::BFloat16 w[1] = {sdlora::BFloat16(3.0F)};
  const sdlora::Weight<sdlora::BFloat16> weight(sdlora::MatrixView<const sdlora::BFloat16>(w, 1, 1));
  matmul(sdlora::MatrixView<T>(y, 1, 1), sdlora::MatrixView<const T>(x, 1, 1), transposed(weight));
  return y[0] == T(6) ? 0 : 1;
}
