// expect: sdlora::scan_backward: matrices hold float, double or bfloat16
#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using T = long;
#else
  using T = float;
#endif
  T values[2] = {1, 1}, gradients[2] = {};
  const MatrixView<T> m(values, 2, 1), d_b(gradients, 2, 1);
  scan_backward(SimdChannels{}, m, m, m, {}, d_b);
  return gradients[1] == 1 ? 0 : 1;
}
