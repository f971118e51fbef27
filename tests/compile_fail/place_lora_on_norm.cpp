// expect: sdlora::On: this policy cannot sit at this site
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = Place<On<site::Norm, LoRA<8>>>;
#else
using Chosen = Place<On<site::OutProj, LoRA<8>>>;
#endif

int main() { return Chosen::learns ? 0 : 1; }
