#include <doctest/doctest.h>

#include <sdlora/training/select_dimensions.hpp>

#include "training/support.hpp"

#include <cmath>
#include <sstream>
#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using P = presets::SDLoRA<2, 3, 2>;

SelectionOptions quiet() { return {.steps = 6, .learning_rate = 1e-2, .seed = 4, .progress = false}; }

}  // namespace

TEST_CASE("the selection is that of a phase made by hand, scored by how far A_log moved") {
  std::shared_ptr<const Base<Tiny, float>> base = rough_base<Tiny, float>(tiny_dimensions);
  const auto data = doubling_task(9);
  const Selection selection = select_dimensions<P>(base, data, quiet());

  using ByHand = Place<On<site::OutProj, LoRA<2>>, On<site::ALog, Full>>;
  MambaModel<Tiny, ByHand, float> model(base);
  Trainer(model, {.steps = 6, .learning_rate = 1e-2, .seed = 4, .progress = false}).fit(data);
  const auto trained = model.merged();
  REQUIRE(selection.layers.size() == 2);
  CHECK(selection.d_inner == 20);
  CHECK(selection.d_state == 16);
  for (std::size_t l = 0; l < 2; ++l) {
    CAPTURE(l);
    const LayerSelection& layer = selection.layers[l];
    REQUIRE(layer.channels.size() == 3);
    REQUIRE(layer.states.size() == 6);
    const auto moved = [&](std::size_t e, std::size_t n) {
      const double change = static_cast<double>(std::as_const(*trained).layer(l).A_log(e, n)) -
                            static_cast<double>(base->layer(l).A_log(e, n));
      return change * change;
    };
    std::vector<double> score(20, 0.0);
    for (std::size_t e = 0; e < 20; ++e) {
      for (std::size_t n = 0; n < 16; ++n) score[e] += moved(e, n);
    }
    CHECK(*std::max_element(score.begin(), score.end()) > 0.0);
    double worst_chosen = 1e30;
    double best_left = 0.0;
    for (std::size_t e = 0; e < 20; ++e) {
      const bool chosen = std::find(layer.channels.begin(), layer.channels.end(), e) != layer.channels.end();
      if (chosen) worst_chosen = std::min(worst_chosen, score[e]);
      if (!chosen) best_left = std::max(best_left, score[e]);
    }
    CHECK(worst_chosen >= best_left);
    for (std::size_t c = 0; c < 3; ++c) {
      double chosen_states = 1e30;
      double states_left = 0.0;
      for (std::size_t n = 0; n < 16; ++n) {
        const auto first = layer.states.begin() + static_cast<std::ptrdiff_t>(2 * c);
        const bool chosen = std::find(first, first + 2, n) != first + 2;
        const double s = moved(layer.channels[c], n);
        if (chosen) chosen_states = std::min(chosen_states, s);
        if (!chosen) states_left = std::max(states_left, s);
      }
      CHECK(chosen_states >= states_left);
    }
  }
  // The model that follows begins at the pre-trained weights.
  MambaModel<Tiny, P, float> second(base, selection);
  MambaModel<Tiny, presets::NothingTrains, float> plain(base);
  const Batch batch(data);
  CHECK(second.loss(batch).sum == doctest::Approx(plain.loss(batch).sum).epsilon(1e-6));
}

TEST_CASE("the same seed, the same selection; another data set, another one; scores can be exchanged") {
  const auto base = rough_base<Tiny, float>(tiny_dimensions);
  const auto data = doubling_task(9);
  const Selection selection = select_dimensions<P>(base, data, quiet());
  CHECK(select_dimensions<P>(base, data, quiet()) == selection);
  CHECK_FALSE(select_dimensions<P>(base, some_examples({9, 4, 6, 12}, 19), quiet()) == selection);
  const auto opposite = [](double change) { return -std::abs(change); };
  const Selection other = select_dimensions<P>(base, data, quiet(), opposite);
  for (const std::uint32_t c : selection.layers[0].channels) {
    CHECK(std::count(other.layers[0].channels.begin(), other.layers[0].channels.end(), c) == 0);
  }
}

TEST_CASE("without a step there is nothing to score") {
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  SelectionOptions options = quiet();
  options.steps = 0;
  CHECK_THROWS_WITH_AS((select_dimensions<presets::SDLoRA<2, 5, 3>>(base, doubling_task(9), options)),
                       doctest::Contains("at least 1 step"), ArgumentError);
}

TEST_CASE("run-time sizes, layer ranges and progress") {
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  std::ostringstream shown;
  SelectionOptions options = quiet();
  options.progress = true;
  options.output = &shown;
  options.adapters = {LoRAOptions{.rank = 2}, SelectedOptions{.channels = 5, .states = 3},
                      Layers<site::ALog>{1, 2}, Layers<site::XProjB>{1, 2}, Layers<site::XProjC>{1, 2}};
  const Selection selection = select_dimensions<presets::SDLoRA<>>(base, doubling_task(9), options);
  CHECK(shown.str().find("selection 6/6") != std::string::npos);
  REQUIRE(selection.layers.size() == 2);
  // No dimension of layer 0 learns, so the first ones stand for it.
  CHECK(selection.layers[0].channels == std::vector<std::uint32_t>{0, 1, 2, 3, 4});
  CHECK(selection.layers[1].channels.size() == 5);
  CHECK(selection.layers[1].states.size() == 15);
  MambaModel<TinyAny, presets::SDLoRA<>, float> model(base, selection, options.adapters);
  CHECK(model.trainable_parameters == 2 * 2 * (10 + 20) + 5 * 3 + 16 * 5 + 16 * 5);

  // More than there is: refused before the training, not after it.
  shown.str("");
  const auto refuse = [&](std::size_t channels, std::size_t states, const std::string& part) {
    options.adapters = {LoRAOptions{.rank = 2}, SelectedOptions{.channels = channels, .states = states}};
    test::check_error<ArgumentError>(
        [&] { select_dimensions<presets::SDLoRA<>>(base, doubling_task(9), options); }, {part});
    CHECK(shown.str().empty());
  };
  refuse(21, 3, "21 of 20 channels");
  refuse(5, 17, "17 of 16 states");
  refuse(5, 0, "at least 1 state of each selected channel, found 0");
}

TEST_CASE("what nothing was measured by is not selected") {
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  const auto data = doubling_task(9);
  const auto refuse = [&]<class E>(const E*, const SelectionOptions& options, const std::string& part) {
    test::check_error<E>([&] { select_dimensions<presets::SDLoRA<>>(base, data, options); }, {part});
  };
  SelectionOptions options = quiet();
  options.adapters = {SelectedOptions{.channels = 5, .states = 3}, Layers<site::ALog>{1, 2},
                      Layers<site::XProjB>{1, 2}};
  refuse(static_cast<ArgumentError*>(nullptr), options,
         "x_proj_C learns selected channels in layer 0, where the layer range of A_log");
  options.adapters.layers = {{"A_log", 0, 1}};
  refuse(static_cast<ArgumentError*>(nullptr), options, "x_proj_B learns selected channels in layer 1");

  // The rate is 0 in the first step of its warm-up.
  options = quiet();
  options.steps = 1;
  options.warm_up_steps = 3;
  refuse(static_cast<Error*>(nullptr), options, "A_log of layer 0 did not move in 1 steps");
}
