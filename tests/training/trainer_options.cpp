#include <doctest/doctest.h>

#include <sdlora/training/trainer_options.hpp>

using namespace sdlora;

TEST_CASE("what a run does where nothing is said") {
  const TrainerOptions options;
  CHECK(options.epochs == 1);
  CHECK(options.steps == 0);
  CHECK(options.decay == Decay::Linear);
  CHECK(options.clip == 1.0);
  CHECK_FALSE(options.resume);
  CHECK(options.checkpoint_directory.empty());
  CHECK(options.label == "training");
  CHECK(options.output == nullptr);
}
