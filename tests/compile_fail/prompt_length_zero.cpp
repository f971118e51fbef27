// expect: sdlora::PromptTuning and PrefixTuning: at least one row; to train nothing leave the site out
#include <sdlora/adapters/presets.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
constexpr std::size_t length = 0;
#else
constexpr std::size_t length = 1;
#endif

int main() { return Place<On<site::Prompt, PromptTuning<length>>>::learns ? 0 : 1; }
