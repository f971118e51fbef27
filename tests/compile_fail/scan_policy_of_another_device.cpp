// expect: sdlora::scan: this algorithm does not run on the device
#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/tensor/emulated.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using Policy = SimdChannels;
#else
  using Policy = BlockScan<>;
#endif
  WorkspaceOn<Emulated> workspace;
  const MatrixView<float, Emulated> values = workspace.matrix<float>(3, 2);
  scan(Policy{}, values, values, values, {}, workspace);
}
