// Methods of linear sites: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("LoRA",         2 * (20 + 10),           On<site::OutProj, LoRA<>>)
SDLORA_TEST_METHOD("rsLoRA",       2 * (20 + 10),           On<site::OutProj, RsLoRA<>>)
SDLORA_TEST_METHOD("DoRA",         2 * (20 + 10) + 10,      On<site::OutProj, DoRA<>>)
SDLORA_TEST_METHOD("DoRA, fused",  2 * 2 * (20 + 10) + 40,  On<site::InProjX, DoRA<2>>, On<site::InProjZ, DoRA<>>)
SDLORA_TEST_METHOD("IA3",          10 + 20,                 On<site::OutProj, IA3>, On<site::InProjZ, IA3>)
// clang-format on
