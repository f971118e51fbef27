// Methods of linear sites that are LoRA but for what learns and where it begins: a line each. Of Tiny, d =
// 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("LoRA-FA",        2 * 10,               On<site::OutProj, LoRAFA<>>)
SDLORA_TEST_METHOD("LoRA-FA, fused", 3 * 20 + 2 * 20,      On<site::InProjX, LoRAFA<3>>, On<site::InProjZ, LoRAFA<>>)
SDLORA_TEST_METHOD("PiSSA",          2 * (20 + 10),        On<site::OutProj, PiSSA<>>)
SDLORA_TEST_METHOD("PiSSA, fused",   5 * (20 + 10),        On<site::InProjX, PiSSA<3>>, On<site::InProjZ, PiSSA<>>)
// clang-format on
