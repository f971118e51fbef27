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

TEST_CASE("a callback of steps returns whether the run goes on, or nothing") {
  const StepReport step{.step = 7};
  CHECK(StepCallback()(step));
  CHECK(TrainerOptions{}.on_step(step));
  std::uint64_t seen = 0;
  const StepCallback silent = [&](const StepReport& report) { seen = report.step; };
  CHECK(silent(step));
  CHECK(seen == 7);
  const StepCallback first_six = [](const StepReport& report) { return report.step < 7; };
  CHECK_FALSE(first_six(step));
  CHECK(first_six({.step = 6}));
  StepCallback copy = silent;
  copy = first_six;
  CHECK_FALSE(copy(step));
  // One with a state of its own, which it changes.
  const StepCallback counting = [calls = 0](const StepReport&) mutable { return ++calls < 3; };
  CHECK(counting(step));
  CHECK(counting(step));
  CHECK_FALSE(counting(step));
}
