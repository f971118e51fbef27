// expect: sdlora::scan: matrices hold float, double or bfloat16
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using T = int;
#else
  using T = double;
#endif
  T values[2] = {1, 1};
  const MatrixView<T> m(values, 2, 1);
  scan(SimdChannels{}, m, m, m);
  return values[1] == 2 ? 0 : 1;
}
