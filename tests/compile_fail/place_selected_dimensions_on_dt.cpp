// expect: SelectedDimensions takes A_log, x_proj_B and x_proj_C
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Here = site::XProjDt;
#else
using Here = site::XProjC;
#endif

int main() { return Place<On<Here, SelectedDimensions<5>>>::learns ? 0 : 1; }
