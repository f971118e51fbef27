// expect: sdlora::LoRA: the rank must be at least 1; to train nothing use Frozen
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
constexpr std::size_t rank = 0;
#else
constexpr std::size_t rank = 1;
#endif

int main() { return Place<On<site::OutProj, LoRA<rank>>>::learns ? 0 : 1; }
