// Additional states: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("additional scan",              3 * 3 * 20,                On<site::Scan, AdditionalScan<>>)
SDLORA_TEST_METHOD("additional scan among others", 3 * 2 * 20 + 20 + 2 * 30,  On<site::Scan, AdditionalScan<2>>, On<site::DtBias, Full>, On<site::InProjX, LoRA<>>)
// clang-format on
