// Methods of the SSM: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("LoRA, conv1d", 2 * (20 + 4),            On<site::Conv1d, LoRA<>>)
SDLORA_TEST_METHOD("LoRA, A_log",  2 * (20 + 16),           On<site::ALog, LoRA<>>)
SDLORA_TEST_METHOD("LoRA, h0",     2 * (20 + 16),           On<site::H0, LoRA<>>)
SDLORA_TEST_METHOD("IA3, SSM",     3 + 16 + 16 + 20,        On<site::XProjDt, IA3>, On<site::XProjB, IA3>, On<site::XProjC, IA3>, On<site::DtProj, IA3>)
SDLORA_TEST_METHOD("SDT",          3 * 2 + 2 * 16 * 3,      On<site::ALog, SelectedDimensions<>>, On<site::XProjB, SelectedDimensions<>>, On<site::XProjC, SelectedDimensions<>>)
SDLORA_TEST_METHOD("state offset", 20 * 16,                 On<site::Scan, StateOffset>)
// clang-format on
