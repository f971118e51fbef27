#include <doctest/doctest.h>

#include <sdlora/training/selection_options.hpp>

using namespace sdlora;

TEST_CASE("the settings of the first phase are an aggregate with defaults") {
  const SelectionOptions options{.steps = 7, .adapters = {.channels = 3}};
  CHECK(options.steps == 7);
  CHECK(options.batch_size == 4);
  CHECK(options.learning_rate == 1e-3);
  CHECK(options.adapters.channels == 3);
  CHECK(options.adapters.states == AdapterOptions{}.states);
  CHECK(options.progress);
  CHECK(options.output == nullptr);
}
