#include <doctest/doctest.h>

#include <sdlora/sdlora.hpp>

#include "io/support.hpp"
#include "support/instances.hpp"

#include <memory>
#include <sstream>
#include <string>

namespace {

struct Small {
  static constexpr sdlora::MambaConfig config{.d_model = 16, .n_layer = 2, .vocab_size = 257};
};

}  // namespace

TEST_CASE("the design's snippet: two phases of SDLoRA, trained and saved") {
  using namespace sdlora;
  const test::Folder folder;
  save_base(Base<Small>::random(dimensions(Small::config), 1), folder / "base", {.tokenizer = "byte"});
  folder.write("train.jsonl",
               "{\"prompt\": \"one \", \"completion\": \"two\"}\n"
               "{\"prompt\": \"three \", \"completion\": \"four\"}\n"
               "{\"text\": \"five six\"}\n");
  std::ostringstream shown;

  using Placement = Place<On<site::OutProj, LoRA<2>>,                // linear projections: low rank
                          On<site::ALog, SelectedDimensions<3, 4>>,  // SSM: 3 channels, 4 states of each
                          On<site::XProjB, SelectedDimensions<3>>,   //      the same channels
                          On<site::XProjC, SelectedDimensions<3>>>;  // == presets::SDLoRA<2, 3, 4>
  using Model = MambaModel<Small, Placement>;
  static_assert(Model::trainable_parameters == 2 * (2 * (16 + 32) + 3 * 4 + 2 * 16 * 3));
  static_assert(MambaModel<presets::Mamba130m, presets::SDLoRA<8, 15, 4>>::trainable_parameters == 455'328);

  auto base = load_base<Small>(folder / "base");  // immutable, shared by every model on it
  auto data = JsonlDataset::open(folder / "train.jsonl", ByteTokenizer{});

  auto selection = select_dimensions<Placement>(base, data, {.steps = 5, .output = &shown});
  Model model{base, selection};  // restarts from the pre-trained weights
  Trainer trainer{model, {.epochs = 3, .learning_rate = 1e-3, .batch_size = 4, .output = &shown}};
  trainer.fit(data);
  save_adapter(model, folder / "my-adapter");

  const auto again = load_adapter<Model>(base, folder / "my-adapter");
  CHECK(std::equal(again.parameters().values().begin(), again.parameters().values().end(),
                   model.parameters().values().begin()));
  CHECK(shown.str().find("selection 5/5") != std::string::npos);
  CHECK(shown.str().find("training 3/3") != std::string::npos);
  CHECK(selection.layers.size() == 2);
}

TEST_CASE("a named preset and run-time sizes go the same way") {
  using namespace sdlora;
  const test::Folder folder;
  save_base(Base<Small>::random(dimensions(Small::config), 1), folder / "base", {.tokenizer = "byte"});
  const auto base = load_base<presets::AnyMamba>(folder / "base");
  const auto data = JsonlDataset::from_examples({{{1, 2, 3, 4}, {1, 2, 3, 4}}, {{5, 6, 7}, {5, 6, 7}}});
  const AdapterOptions adapters{LoRAOptions{.rank = 3}, SelectedOptions{.channels = 5, .states = 2}};
  const Selection selection =
      select_dimensions<presets::SDLoRA<>>(base, data, {.steps = 3, .adapters = adapters, .progress = false});
  CHECK(selection.layers[1].channels.size() == 5);
  CHECK(selection.layers[1].states.size() == 10);
  MambaModel<presets::AnyMamba, presets::SDLoRA<>> model(base, selection, adapters);
  Trainer trainer{model, {.steps = 2, .progress = false}};
  const TrainingReport report = trainer.fit(data, data);
  CHECK(report.losses.size() == 2);
  CHECK(report.evaluations.size() == 2);
  CHECK(report.losses[1] < report.losses[0]);
}
