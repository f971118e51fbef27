// Methods of the states before the first token and of what joins the scan's output: a line each. Of Tiny, d =
// 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("state offset of y",         20,              On<site::Scan, StateOffsetY>)
SDLORA_TEST_METHOD("state offset of low rank",  2 * (20 + 16),   On<site::Scan, LowRankStateOffset<>>)
SDLORA_TEST_METHOD("scaled states",             20 * 16 + 3 * 20, On<site::H0, ScaledState>, On<site::Conv0, ScaledState>)
SDLORA_TEST_METHOD("initial window",            3 * 20,          On<site::Conv0, Full>)
SDLORA_TEST_METHOD("states behind a prefix",    2 * (3 + 20) + 20 * 16 + 3 * 20, On<site::Conv0, LoRA<>>, On<site::H0, Full>, On<site::Prefix, PrefixTuning<>>)
// clang-format on
