// VeRA: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("VeRA",         2 + 10,                  On<site::OutProj, VeRA<>>)
SDLORA_TEST_METHOD("VeRA, fused",  3 + 20 + 2 + 20,         On<site::InProjX, VeRA<3>>, On<site::InProjZ, VeRA<>>)
// clang-format on
