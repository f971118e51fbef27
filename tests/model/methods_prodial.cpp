// ProDiaL: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4; blocks of 5.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("ProDiaL",        10 + 5 * 20 + 2 * (20 + 10),               On<site::OutProj, ProDiaL<>>)
SDLORA_TEST_METHOD("ProDiaL, fused", 20 + 2 * 10 + 3 * 30 + 20 + 5 * 10 + 2 * 30, On<site::InProjX, ProDiaL<3, 2>>, On<site::InProjZ, ProDiaL<>>)
// clang-format on
