// Each part of x_proj alone, with every policy that can sit there, against finite differences.
#include "support/gradient_check.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

#define SDLORA_TEST_SITE(SITE, ...)                                  \
  TEST_CASE("gradients: " #__VA_ARGS__ " on " #SITE) {               \
    check_placement_gradients<Place<On<site::SITE, __VA_ARGS__>>>(); \
  }

SDLORA_TEST_SITE(XProjDt, LoRA<2>)
SDLORA_TEST_SITE(XProjDt, Full)
SDLORA_TEST_SITE(XProjB, LoRA<2>)
SDLORA_TEST_SITE(XProjB, Full)
SDLORA_TEST_SITE(XProjB, SelectedDimensions<3>)
SDLORA_TEST_SITE(XProjC, LoRA<2>)
SDLORA_TEST_SITE(XProjC, Full)
SDLORA_TEST_SITE(XProjC, SelectedDimensions<3>)
