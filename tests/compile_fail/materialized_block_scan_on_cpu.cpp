// expect: sdlora::Materialized: this policy scans in the memory of devices that run kernels
#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/scan/selective/materialized.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using Scan = Materialized<BlockScan<>>;
#else
  using Scan = Materialized<SimdChannels>;
#endif
  Workspace workspace;
  Scan::forward<dyn>(SelectiveScanInputs<float>{}, {}, {}, nullptr, workspace);
}
