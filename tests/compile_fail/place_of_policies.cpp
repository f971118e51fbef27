// expect: sdlora::Place: every entry must be an On<site, policy>
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

// A placement is a list of On<site, policy>, not of policies.
#ifdef SDLORA_EXPECT_FAILURE
using List = Place<LoRA<8>>;
#else
using List = Place<On<site::OutProj, LoRA<8>>>;
#endif

int main() { return List::learns ? 0 : 1; }
