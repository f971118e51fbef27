#include <doctest/doctest.h>

#include <sdlora/adapters/lora.hpp>
#include <sdlora/training/selection_options.hpp>
#include <sdlora/training/trainer.hpp>

#include <sstream>

using namespace sdlora;

TEST_CASE("the first phase trains as a Trainer does where nothing else is said") {
  const SelectionOptions selection;
  const TrainerOptions trainer;
  CHECK(selection.steps == 500);  // as README says
  CHECK(selection.epochs == 0);
  CHECK(selection.criterion == SelectionCriterion::Change);
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

TEST_CASE("a selection's options become those of the Trainer that makes it") {
  std::ostringstream shown;
  const SelectionOptions selection{.steps = 6,
                                   .learning_rate = 0.002,
                                   .batch_size = 5,
                                   .accumulation = 3,
                                   .weight_decay = 0.1,
                                   .clip = 2.0,
                                   .warm_up_steps = 4,
                                   .seed = 9,
                                   .adapters = {LoRAOptions{.rank = 2}, Seed{77}},
                                   .progress = false,
                                   .output = &shown};
  const TrainerOptions trainer = selection.trainer_options();
  CHECK(trainer.steps == 6);
  CHECK(trainer.learning_rate == 0.002);
  CHECK(trainer.batch_size == 5);
  CHECK(trainer.accumulation == 3);
  CHECK(trainer.weight_decay == 0.1);
  CHECK(trainer.clip == 2.0);
  CHECK(trainer.warm_up_steps == 4);
  CHECK(trainer.seed == 9);
  CHECK(!trainer.progress);
  CHECK(trainer.output == &shown);
  CHECK(trainer.label == "selection");
  CHECK(trainer.decay == Decay::Linear);  // what a selection has not stays
  CHECK(trainer.checkpoint_directory.empty());
  const TrainerOptions epochs = SelectionOptions{.steps = 0, .epochs = 3}.trainer_options();
  CHECK(epochs.steps == 0);
  CHECK(epochs.epochs == 3);
}
