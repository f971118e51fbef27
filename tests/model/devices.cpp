#include <sdlora/tensor/emulated.hpp>

#include "support/model_device_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("a model on the emulated device: logits, loss, gradients and merging under every preset") {
  check_presets_on<Emulated>();
}
TEST_CASE("a model on the emulated device: twenty steps of training") { check_training_on<Emulated>(); }
TEST_CASE("a model on the emulated device: losses and heads of one's own") {
  check_own_losses_on<Emulated>();
}
TEST_CASE("a model on the emulated device: generation, candidates, choosing dimensions") {
  check_use_on<Emulated>();
}
