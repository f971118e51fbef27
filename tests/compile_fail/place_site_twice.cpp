// expect: sdlora::Place: a site is named twice; keep one On<site, policy> for each site
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Second = On<site::OutProj, Full>;
#else
using Second = On<site::InProjX, Full>;
#endif

int main() { return Place<On<site::OutProj, LoRA<8>>, Second>::learns ? 0 : 1; }
