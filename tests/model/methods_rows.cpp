// Methods of the embedding and of rows before a sequence, and whole weights: a line each. Of Tiny, d = 10, E
// = 20, N = 16, V = 19.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("prefix",       3 * 20,                  On<site::Prefix, PrefixTuning<>>)
SDLORA_TEST_METHOD("full",         10 * 20 + 20 * 16,       On<site::OutProj, Full>, On<site::ALog, Full>)
TEST_CASE("method: LoRA, embedding") { sdlora_test::check_method<Place<On<site::Embedding, LoRA<>>>>(0, 2 * (19 + 10)); }
TEST_CASE("method: prompt") { sdlora_test::check_method<Place<On<site::Prompt, PromptTuning<>>>>(0, 3 * 10); }
// clang-format on
