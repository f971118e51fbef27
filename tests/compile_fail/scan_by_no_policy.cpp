// expect only: sdlora::scan: the first argument is the algorithm
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

using namespace sdlora;

int main() {
  double inputs[2] = {1, 1}, states[2] = {};
  const MatrixView<double> a(inputs, 2, 1), h(states, 2, 1);
#ifdef SDLORA_EXPECT_FAILURE
  scan(ScanKind::Inclusive, a, a, h);
#else
  scan(SimdChannels{}, a, a, h);
#endif
  return states[1] == 2 ? 0 : 1;
}
