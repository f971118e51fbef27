#include <doctest/doctest.h>

#include <sdlora/adapters/lora.hpp>
#include <sdlora/training/run_identity.hpp>

#include "training/support.hpp"

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

SelectionOptions quiet() { return {.steps = 6, .learning_rate = 1e-2, .seed = 4, .progress = false}; }

}  // namespace

TEST_CASE("run identity: what differs is named, with both values and what to do") {
  std::map<std::string, std::string> file{{"base", "abc"}, {"groups", ""}, {"extra", "ignored"}};
  const RunIdentity run{{"base", "abc"}, {"groups", ""}};
  const auto check = [&](const RunIdentity& expected) {
    detail::require_same_run("some.file", "field run.", "selection", expected, [&](const std::string& key) {
      return file.contains(key) ? &file[key] : nullptr;
    });
  };
  CHECK_NOTHROW(check(run));
  CHECK_NOTHROW(check({{"absent", ""}}));  // a key that came with a later version
  check_error<FileError>([&] { check({{"absent", "here"}}); }, {"field run.absent", "\"here\""});
  CHECK_NOTHROW(check({}));
  file["groups"] = "\x01";
  check_error<FileError>([&] { check(run); },
                         {"some.file", "field run.groups", "the selection is of a run with groups",
                          "this one has \"\"", "resume with the base, data and settings of that run"});
}

TEST_CASE("run identity: data are told apart by ids, labels, order and where examples end") {
  const std::vector<Example> data{{{1, 2, 3}, {1, 2, 3}}, {{4}, {4}}};
  const std::string text = detail::data_text(data);
  CHECK(text == "2 examples " + fingerprint_text(fingerprint(data)));
  auto other = data;
  CHECK(detail::data_text(other) == text);
  other[0].labels[0] = ignored_label;
  CHECK(detail::data_text(other) != text);
  other = data;
  other[0].ids[2] = 4;
  CHECK(detail::data_text(other) != text);
  other = {data[1], data[0]};
  CHECK(detail::data_text(other) != text);
  other = {{{1, 2}, {3, 1}}, {{2, 3}, {4, 4}}};
  CHECK(detail::data_text(other) != text);
}

TEST_CASE("a selection's identity changes with whatever decides the selection") {
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  const auto data = doubling_task(9);
  SelectionOptions options = quiet();
  const auto identity = [&] { return selection_identity(*base, "placement", data, options); };
  const RunIdentity first = identity();
  CHECK(identity() == first);
  options.progress = true;
  options.adapters.set(SelectedOptions{.channels = 1});  // 1 % of 20
  CHECK(identity() == first);

  const auto changes = [&](const std::string& key, const auto& change) {
    CAPTURE(key);
    options = quiet();
    change(options);
    const RunIdentity other = identity();
    REQUIRE(other.size() == first.size());
    for (std::size_t i = 0; i < first.size(); ++i) CHECK((other[i] != first[i]) == (first[i].first == key));
  };
  changes("steps", [](SelectionOptions& o) { o.steps = 7; });
  changes("learning_rate", [](SelectionOptions& o) { o.learning_rate = 0.02; });
  changes("batch_size", [](SelectionOptions& o) { o.batch_size = 5; });
  changes("accumulation", [](SelectionOptions& o) { o.accumulation = 2; });
  changes("weight_decay", [](SelectionOptions& o) { o.weight_decay = 0.1; });
  changes("clip", [](SelectionOptions& o) { o.clip = 2.0; });
  changes("warm_up_steps", [](SelectionOptions& o) { o.warm_up_steps = 1; });
  changes("seed", [](SelectionOptions& o) { o.seed = 5; });
  changes("rank", [](SelectionOptions& o) { o.adapters.set(LoRAOptions{.rank = 2}); });
  changes("alpha", [](SelectionOptions& o) { o.adapters.set(LoRAOptions{.alpha = 2.0}); });
  changes("dropout", [](SelectionOptions& o) { o.adapters.set(LoRAOptions{.dropout = 0.5}); });
  changes("channels", [](SelectionOptions& o) { o.adapters.set(SelectedOptions{.channels = 2}); });
  changes("states", [](SelectionOptions& o) { o.adapters.set(SelectedOptions{.states = 2}); });
  changes("prompt_length", [](SelectionOptions& o) { o.adapters.set(RowsOptions{.prompt_length = 2}); });
  changes("layers", [](SelectionOptions& o) { o.adapters.layers = {{"A_log", 1, 2}}; });
  changes("adapter_seed", [](SelectionOptions& o) { o.adapters.seed = 1; });

  const auto adds = [&](const std::pair<std::string, std::string>& field, const auto& change) {
    options = quiet();
    change(options);
    const RunIdentity other = identity();
    CHECK(other.size() == first.size() + 1);
    CHECK(std::find(other.begin(), other.end(), field) != other.end());
  };
  adds({"criterion", "fisher"}, [](SelectionOptions& o) { o.criterion = SelectionCriterion::Fisher; });
  adds({"epochs", "2"}, [](SelectionOptions& o) {
    o.steps = 0;
    o.epochs = 2;
  });

  options = quiet();
  CHECK(selection_identity(*base, "another", data, options) != first);
  CHECK(selection_identity(*base, "placement", doubling_task(8), options) != first);
  base->layer(1).D.data[3] += 0.5F;
  CHECK(identity() != first);
}

TEST_CASE("the same values in another stored type are another run") {
  const auto stored = std::make_shared<const Base<Tiny>>(
      rough_base<Tiny, float>(tiny_dimensions)->stored_as(StoredType::BFloat16));
  const auto floats = std::make_shared<const Base<Tiny>>(stored->stored_as(StoredType::Scalar));
  const std::string same = fingerprint_text(fingerprint(*stored));
  const auto data = doubling_task(3);
  const auto of_run = [&](const std::shared_ptr<const Base<Tiny>>& base) {
    const MambaModel<Tiny, presets::LoRALinear<2>> model(base);
    return training_identity(model, data, {.steps = 2}, 2).front();
  };
  CHECK(of_run(floats) == std::pair<std::string, std::string>("base", same));
  CHECK(of_run(stored) == std::pair<std::string, std::string>("base", same + " bfloat16"));
  CHECK(selection_identity(*stored, "p", data, {}).front().second == same + " bfloat16");
}

TEST_CASE("the texts of a training run and of a selection are those that files hold since version 2") {
  // Files are compared by them: a change of a key or a number here would refuse every older checkpoint.
  const auto base = rough_base<Tiny, float>(tiny_dimensions);
  const auto data = doubling_task(9);
  const std::string base_text = fingerprint_text(fingerprint(*base));
  const std::string data_text = "9 examples " + fingerprint_text(fingerprint(std::span<const Example>(data)));
  const AdapterOptions adapters{LoRAOptions{.alpha = 3.5, .dropout = 0.1}, Seed{8}};
  const LayerSelection chosen{{1, 7, 19}, {0, 15, 3, 4, 5, 6}};
  const MambaModel<Tiny, presets::SDLoRA<2, 3, 2>, float> model(base, Selection{20, 16, {chosen, chosen}},
                                                                adapters);
  const TrainerOptions options{.epochs = 2,
                               .learning_rate = 3e-4,
                               .batch_size = 3,
                               .accumulation = 2,
                               .weight_decay = 0.01,
                               .clip = 0.5,
                               .warm_up_steps = 5,
                               .decay = Decay::Cosine,
                               .groups = {{"A_log", 2.0, -1.0}, {"out_proj", 1.0, 0.25}},
                               .seed = 18446744073709551615U,
                               .beta1 = 0.85,
                               .beta2 = 0.95,
                               .epsilon = 1e-9,
                               .final_rate = 0.125};
  CHECK(training_identity(model, data, options, 1234) ==
        RunIdentity{{"base", base_text},
                    {"placement",
                     "A_log=selected_dimensions out_proj=lora x_proj_B=selected_dimensions "
                     "x_proj_C=selected_dimensions"},
                    {"parameters", "324 values 4f21dc70182e10fb"},
                    {"selection", "2ddd7d63f2b9a30e"},
                    {"alpha", "3.5"},
                    {"dropout", "0.1"},
                    {"options", ""},
                    {"adapter_seed", "8"},
                    {"initial_values", ""},
                    {"data", data_text},
                    {"steps", "1234"},
                    {"batch_size", "3"},
                    {"accumulation", "2"},
                    {"learning_rate", "3e-04"},
                    {"weight_decay", "0.01"},
                    {"clip", "0.5"},
                    {"warm_up_steps", "5"},
                    {"decay", "cosine"},
                    {"final_rate", "0.125"},
                    {"betas_epsilon", "0.85 0.95 1e-09"},
                    {"groups", "A_log:2:-1 out_proj:1:0.25 "},
                    {"keep_best", ""},  // as in files from before it, which lack the key
                    {"seed", "18446744073709551615"}});
  const RunIdentity plain = training_identity(model, data, {}, 7);
  CHECK(plain[17] == std::pair<std::string, std::string>("decay", "linear"));
  CHECK(plain[19] == std::pair<std::string, std::string>("betas_epsilon", "0.9 0.999 1e-08"));
  CHECK(plain[20] == std::pair<std::string, std::string>("groups", ""));
  CHECK(training_identity(model, data, {.patience = 3}, 7) == plain);  // it only says when a run ends
  CHECK(training_identity(model, data, {.keep_best = true}, 7)[21] ==
        std::pair<std::string, std::string>("keep_best", "yes"));
  CHECK(training_identity(model, data, {.initial_values = "adapter 12"}, 7)[8] ==
        std::pair<std::string, std::string>("initial_values", "adapter 12"));

  const SelectionOptions selection{
      .steps = 6,
      .learning_rate = 0.002,
      .batch_size = 5,
      .accumulation = 3,
      .weight_decay = 0.1,
      .clip = 2.0,
      .warm_up_steps = 4,
      .seed = 9,
      .adapters = {LoRAOptions{.rank = 2, .alpha = 4.0, .dropout = 0.25}, SelectedOptions{.states = 3},
                   RowsOptions{.prompt_length = 7}, Layers<site::ALog>{1, LayerRange::to_the_end}, Seed{11}}};
  CHECK(selection_identity(*base, "some placement", data, selection) ==
        RunIdentity{{"base", base_text},
                    {"placement", "some placement"},
                    {"data", data_text},
                    {"steps", "6"},
                    {"batch_size", "5"},
                    {"accumulation", "3"},
                    {"learning_rate", "0.002"},
                    {"weight_decay", "0.1"},
                    {"clip", "2"},
                    {"warm_up_steps", "4"},
                    {"seed", "9"},
                    {"rank", "2"},
                    {"alpha", "4"},
                    {"dropout", "0.25"},
                    {"channels", "1"},
                    {"states", "3"},
                    {"prompt_length", "7"},
                    {"options", ""},
                    {"layers", "A_log:1:2 "},
                    {"adapter_seed", "11"}});
}
