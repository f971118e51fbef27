// expect: sdlora::On: this policy cannot sit at this site
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Here = site::InProjX;
#else
using Here = site::Prompt;
#endif

int main() { return Place<On<Here, PromptTuning<5>>>::learns ? 0 : 1; }
