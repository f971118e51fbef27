// expect: sdlora::On: this policy cannot sit at this site
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Here = site::XProjDt;
#else
using Here = site::XProjC;
#endif

int main() { return Place<On<Here, SelectedDimensions<5>>>::learns ? 0 : 1; }
