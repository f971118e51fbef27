// Each linear site alone, with every policy that can sit there, against finite differences.
#include "support/gradient_check.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

// Which gradients exist follows from the placement's type, so every pair is a program of its own.
#define SDLORA_TEST_SITE(SITE, POLICY)                          \
  TEST_CASE("gradients: " #POLICY " on " #SITE) {               \
    check_placement_gradients<Place<On<site::SITE, POLICY>>>(); \
  }

SDLORA_TEST_SITE(InProjX, LoRA<2>)
SDLORA_TEST_SITE(InProjX, Full)
SDLORA_TEST_SITE(InProjZ, LoRA<2>)
SDLORA_TEST_SITE(InProjZ, Full)
SDLORA_TEST_SITE(OutProj, LoRA<2>)
SDLORA_TEST_SITE(OutProj, Full)
SDLORA_TEST_SITE(DtProj, LoRA<1>)
SDLORA_TEST_SITE(DtProj, Full)
