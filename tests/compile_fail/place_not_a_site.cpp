// expect: sdlora::On: the first type must be a site
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Here = int;
#else
using Here = site::OutProj;
#endif

int main() { return Place<On<Here, LoRA<8>>>::learns ? 0 : 1; }
