// expect: sdlora::Materialized: this policy refuses some signs or ranges of values
#include <sdlora/scan/menu/heinsen.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/scan/selective/materialized.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using Scan = Materialized<Heinsen>;
#else
  using Scan = Materialized<SimdChannels>;
#endif
  return static_cast<int>(Scan::checkpoint_size({}, 2, 3));
}
