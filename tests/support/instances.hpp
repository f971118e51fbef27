#pragma once

#include "../../examples/support/model_instances.hpp"

// What the tests' models share, compiled once for all of them (instances.cpp). Not for nvcc, whose host code
// is of another instruction set.
#if !defined(__CUDACC__)
namespace sdlora {

#ifndef SDLORA_TEST_INSTANCE
#define SDLORA_TEST_INSTANCE extern template
#endif

SDLORA_MODEL_INSTANCES(SDLORA_TEST_INSTANCE, float)
SDLORA_MODEL_INSTANCES(SDLORA_TEST_INSTANCE, double)
SDLORA_SIZED_INSTANCES(SDLORA_TEST_INSTANCE, float, 16, 4)
SDLORA_SIZED_INSTANCES(SDLORA_TEST_INSTANCE, double, 16, 4)
SDLORA_SIZED_INSTANCES(SDLORA_TEST_INSTANCE, float, dyn, dyn)
SDLORA_SIZED_INSTANCES(SDLORA_TEST_INSTANCE, double, dyn, dyn)
SDLORA_TEST_INSTANCE class LoRA<2>::Linear<float>;
SDLORA_TEST_INSTANCE class LoRA<2>::Linear<double>;

}  // namespace sdlora
#endif
