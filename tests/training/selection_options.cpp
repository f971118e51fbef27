#include <doctest/doctest.h>

#include <sdlora/training/selection_options.hpp>
#include <sdlora/training/trainer.hpp>

using namespace sdlora;

TEST_CASE("the first phase trains as a Trainer does where nothing else is said") {
  const SelectionOptions selection;
  const TrainerOptions trainer;
  CHECK(selection.steps == 500);  // as README says
  CHECK(selection.batch_size == trainer.batch_size);
  CHECK(selection.accumulation == trainer.accumulation);
  CHECK(selection.learning_rate == trainer.learning_rate);
  CHECK(selection.weight_decay == trainer.weight_decay);
  CHECK(selection.clip == trainer.clip);
  CHECK(selection.warm_up_steps == trainer.warm_up_steps);
  CHECK(selection.seed == trainer.seed);
  CHECK(selection.progress == trainer.progress);
  CHECK(selection.output == trainer.output);
}
