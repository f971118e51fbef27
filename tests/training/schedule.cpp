#include <doctest/doctest.h>

#include <sdlora/training/schedule.hpp>

#include <cmath>
#include <numbers>

using namespace sdlora;

TEST_CASE("linear: up from zero, down to zero at the last step, as transformers' linear schedule") {
  const Schedule schedule{.peak = 2.0, .steps = 12, .warm_up = 4};
  const double expected[] = {0, 0.5, 1, 1.5, 2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25, 0, 0};
  for (std::size_t step = 0; step < 14; ++step) CHECK(schedule(step) == doctest::Approx(expected[step]));
}

TEST_CASE("cosine: half a wave from the peak to the floor") {
  const Schedule schedule{.peak = 3.0, .steps = 21, .warm_up = 1, .decay = Decay::Cosine, .floor = 0.1};
  CHECK(schedule(0) == 0.0);
  for (std::size_t step = 1; step <= 21; ++step) {
    const double part = static_cast<double>(step - 1) / 20.0;
    const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    CHECK(schedule(step) == doctest::Approx(3.0 * (0.1 + 0.9 * wave)));
  }
  CHECK(schedule(11) == doctest::Approx(3.0 * 0.55));
  CHECK(schedule(1000) == doctest::Approx(0.3));
}

TEST_CASE("constant: the peak after the warm-up, whatever the number of steps") {
  const Schedule schedule{.peak = 0.5, .steps = 3, .warm_up = 2, .decay = Decay::Constant};
  CHECK(schedule(0) == 0.0);
  CHECK(schedule(1) == 0.25);
  for (const std::size_t step : {2U, 3U, 99U}) CHECK(schedule(step) == 0.5);
}

TEST_CASE("odd lengths: no steps, a warm-up as long as the run or longer") {
  CHECK(Schedule{.peak = 1.0, .steps = 0}(0) == 1.0);
  CHECK(Schedule{.peak = 1.0, .steps = 1}(0) == 1.0);
  CHECK(Schedule{.peak = 1.0, .steps = 4, .warm_up = 4}(3) == 0.75);
  CHECK(Schedule{.peak = 1.0, .steps = 4, .warm_up = 8}(3) == 0.375);
}

TEST_CASE("decays have names, which can be read again") {
  CHECK(decay_name(Decay::Constant) == "constant");
  CHECK(decay_name(Decay::Linear) == "linear");
  CHECK(decay_name(Decay::Cosine) == "cosine");
  for (const Decay decay : {Decay::Constant, Decay::Linear, Decay::Cosine}) {
    CHECK(parse_decay(decay_name(decay)) == decay);
  }
  CHECK_THROWS_WITH_AS(
      parse_decay("Linear"),
      "Schedule: expected a decay of constant, linear or cosine, found 'Linear'; give one of them",
      ArgumentError);
}
