// Each site that is not a linear weight alone, with every policy that can sit there, against finite
// differences.
#include "support/gradient_check.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

#define SDLORA_TEST_SITE(SITE, ...)                                  \
  TEST_CASE("gradients: " #__VA_ARGS__ " on " #SITE) {               \
    check_placement_gradients<Place<On<site::SITE, __VA_ARGS__>>>(); \
  }

SDLORA_TEST_SITE(Norm, Full)
SDLORA_TEST_SITE(Conv1d, Full)
SDLORA_TEST_SITE(ConvBias, Full)
SDLORA_TEST_SITE(DtBias, Full)
SDLORA_TEST_SITE(ALog, Full)
SDLORA_TEST_SITE(ALog, SelectedDimensions<3, 2>)
SDLORA_TEST_SITE(D, Full)
SDLORA_TEST_SITE(NormF, Full)
SDLORA_TEST_SITE(Embedding, Full)
// H0, Prompt and Prefix alone are presets (gradients_presets.cpp).
