// expect: sdlora::On: the second type must be an adapter policy, an empty type
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

struct Mine : Full {
#ifdef SDLORA_EXPECT_FAILURE
  double strength = 0.5;
#endif
};

int main() { return Place<On<site::D, Mine>>::learns ? 0 : 1; }
