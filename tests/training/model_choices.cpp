// Placements chosen by name, from a program's own list, compiled in a source file of their own
// (model_maker.cpp).
#include "training/model_choices.hpp"
#include "io/support.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/model/generate.hpp>
#include <sdlora/training/candidate_scorer.hpp>
#include <sdlora/training/evaluate.hpp>
#include <sdlora/training/select_dimensions.hpp>
#include <sdlora/training/trainer.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

std::shared_ptr<const Base<presets::AnyMamba>> some_base() {
  MambaDimensions m = tiny_dimensions;
  m.d_state = 5;
  m.d_conv = 3;
  return rough_base<presets::AnyMamba, float>(m);
}

}  // namespace

TEST_CASE("model_choices: a list says what it holds, and refuses other names") {
  const auto& all = Choices::all();
  REQUIRE(all.size() == 4);
  CHECK(all[0].name == "nothing");
  CHECK_FALSE(all[0].learns);
  CHECK(all[1].name == "biases");
  CHECK(all[1].description == "every bias");
  CHECK(all[1].placement == describe<presets::BitFit>());
  CHECK_FALSE(all[1].selects);
  CHECK(all[2].selects);
  check_error<ArgumentError>([] { Choices::find("bias"); },
                             {"placement 'bias' is not known", "choose one of biases, selected, prompt"});
  check_error<ArgumentError>([] { Choices::select("biases", some_base(), {}, {}); },
                             {"placement 'biases' selects no dimensions"});
}

TEST_CASE("model_choices: the same bits as the model of the type, in training and after it") {
  const auto base = some_base();
  const std::vector<Example> data = some_examples({4, 7, 1, 5, 3, 9}, 19, 11);
  const auto any = Choices::make("biases", base);
  CHECK(any->name() == "biases");
  CHECK(any->base() == base);
  MambaModel<presets::AnyMamba, presets::BitFit> known(base);
  const TrainerOptions options{.steps = 4, .learning_rate = 1e-2, .batch_size = 2, .progress = false};
  CHECK(Trainer{*any, options}.fit(data).losses == Trainer{known, options}.fit(data).losses);
  CHECK(evaluate_loss(*any, data).sum == evaluate_loss(known, data).sum);
  const std::vector<std::int32_t> prompt{3, 1, 4};
  CHECK(generate(*any, prompt, {.max_tokens = 5}) == generate(known, prompt, {.max_tokens = 5}));
  CHECK(token_log_probabilities(*any, prompt) == token_log_probabilities(known, prompt));
  const std::vector<std::vector<std::int32_t>> candidates{{1, 2}, {5}}, prompts{{3}, {7, 8}};
  CHECK(CandidateScorer(*any, candidates).scores(prompts) ==
        CandidateScorer(known, candidates).scores(prompts));
  CHECK(any->merged()->layer(1).conv_bias(0, 3) == known.merged()->layer(1).conv_bias(0, 3));
  CHECK(any->total_parameters() == known.total_parameters());
}

TEST_CASE("model_choices: an adapter is loaded by the placement that its file names") {
  const auto base = some_base();
  const std::vector<Example> data = some_examples({4, 7, 5}, 19, 11);
  const SelectionOptions first_phase{
      .steps = 2,
      .adapters = {LoRAOptions{.rank = 2}, SelectedOptions{.channels = 3, .states = 2}},
      .progress = false};
  const Selection selection = Choices::select("selected", base, data, first_phase);
  CHECK(selection == select_dimensions<choices::Selected::placement>(base, data, first_phase));
  const auto model = Choices::make("selected", base, selection,
                                   {LoRAOptions{.rank = 2}, SelectedOptions{.channels = 3, .states = 2}});
  stir(*model);
  const test::Folder folder;
  save_adapter(*model, folder.path());
  const auto back = Choices::load_adapter(base, folder.path());
  CHECK(back->name() == "selected");
  CHECK(back->selection().layers[1].channels == selection.layers[1].channels);
  CHECK(evaluate_loss(*back, data).sum == evaluate_loss(*model, data).sum);

  using Fewer = ModelChoices<choices::Biases, choices::Nothing>;
  check_error<FileError>([&] { Fewer::load_adapter(base, folder.path()); },
                         {"sdlora_adapter.placement", "none of the placements that this program can choose"});
  check_error<FileError>([&] { Choices::load_adapter(base, folder / "adapter.safetensors"); },
                         {"expected the directory of an adapter, found a file"});
}

TEST_CASE("model_choices: what a placement cannot do is refused when it is asked for") {
  const auto base = some_base();
  const auto nothing = Choices::make("nothing", base);
  check_error<ArgumentError>([&] { nothing->accumulate_gradients(some_batch({3}), 1.0, {}); },
                             {"placement nothing: trains nothing"});
  check_error<ArgumentError>([&] { Choices::make("prompt", base)->merged(); },
                             {"placement prompt", "cannot be merged", "keep it as an adapter"});
}
