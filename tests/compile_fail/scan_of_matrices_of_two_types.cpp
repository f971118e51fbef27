// expect only: sdlora::scan: a, b and h hold values of more than one type
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  float decays[2] = {1, 1};
#else
  double decays[2] = {1, 1};
#endif
  double inputs[2] = {1, 1}, states[2] = {};
  scan(SimdChannels{}, MatrixView(decays, 2, 1), MatrixView(inputs, 2, 1), MatrixView(states, 2, 1));
  return states[1] == 2 ? 0 : 1;
}
