// expect: this policy does not read bfloat16; choose SimdChannels or SimdStates
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

using namespace sdlora;

int main() {
  BFloat16 values[2] = {BFloat16(1.0F), BFloat16(1.0F)};
  const MatrixView<BFloat16> m(values, 2, 1);
#ifdef SDLORA_EXPECT_FAILURE
  scan(Sequential{}, m, m, m);
#else
  scan(SimdChannels{}, m, m, m);
#endif
  return values[1] == BFloat16(2.0F) ? 0 : 1;
}
