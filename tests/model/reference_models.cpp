// Logits, loss, states and every gradient of Hugging Face's models.
#include "support/reference_models.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("Hugging Face's models in double") {
  for (const char* folder : {"one_layer", "two_layers", "three_layers", "original_keys"}) {
    compare_model<double>(folder, 1e-11, 1e-9);
  }
}

TEST_CASE("Hugging Face's models in float") {
  for (const char* folder : {"one_layer", "two_layers", "three_layers", "original_keys"}) {
    compare_model<float>(folder, 1e-5, 1e-4);  // what is asked for: 1e-4 and 1e-3
  }
}
