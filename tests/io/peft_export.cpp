// What peft's format holds of a model is the same function again; what it cannot is named.
#include "peft_support.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/peft_export.hpp>
#include <sdlora/tensor/random.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using test::check_error;

namespace {

template <class P, class T = double>
using Model = MambaModel<presets::AnyMamba, P, T>;

/// A model whose adapters all moved.
template <class P, class T = double>
Model<P, T> stirred(const AdapterOptions& options = {}, const Selection& selection = {}) {
  Model<P, T> model(peft_base<T>(), selection, options);
  const RandomStream random(11, 3);
  std::uint64_t i = 0;
  for (T& value : model.parameters().values()) value += static_cast<T>(0.1 * random.normal(i++));
  return model;
}

Batch some_batch() { return Reference("lora_peft").batch(); }

/// Saves it, checks that the file is the same function, and returns the parts of what was written.
template <class M>
PeftParts check_written(const M& model, double within = 1e-12) {
  using T = typename M::value_type;
  const test::Folder folder;
  save_peft_adapter(model, folder / "out", "two_layers");
  const auto base = peft_base<T>();
  const std::vector<double> expected = Outputs(model, some_batch()).logits;
  CHECK(relative_error(plain_logits<T>(base, some_batch()), expected) > 0.01);
  CHECK(relative_error(plain_logits<T>(apply_peft_adapter(*base, folder / "out"), some_batch()), expected) <=
        within);
  CHECK(peft_obstacles(model).empty());
  return PeftParts(folder / "out");
}

using InProj = Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>>;

Selection some_selection() {
  Selection selection{.d_inner = E, .d_state = N, .layers = {}};
  selection.layers.push_back({{1, 8, 25}, {0, 3, 2, 15, 4, 5}});
  selection.layers.push_back({{0, 7, 9}, {1, 14, 0, 1, 7, 15}});
  return selection;
}

using SelectedSsm = Place<On<site::ALog, SelectedDimensions<>>, On<site::XProjB, SelectedDimensions<>>,
                          On<site::XProjC, SelectedDimensions<>>, On<site::InProjZ, LoRA<>>>;

/// All obstacles of a model as "site: reason" lines; saving throws them and writes nothing.
template <class M>
std::string obstacles_of(const M& model) {
  std::string text;
  for (const PeftObstacle& each : peft_obstacles(model)) text += each.site + ": " + each.reason + "\n";
  const test::Folder folder;
  const std::string message =
      test::error_of<ArgumentError>([&] { save_peft_adapter(model, folder / "out"); });
  for (const PeftObstacle& each : peft_obstacles(model))
    test::check_parts(message, {each.site + ": " + each.reason, "lora-peft"});
  CHECK(!std::filesystem::exists(folder / "out"));
  return text;
}

}  // namespace

TEST_CASE("peft export: LoRA of two halves is one of their ranks together") {
  const AdapterOptions options{LoRAOptions{.rank = 3, .alpha = 6.0, .dropout = 0.125}};
  const PeftParts written = check_written(stirred<InProj>(options));
  CHECK(written.config["r"] == 6);
  CHECK(written.config["lora_alpha"] == 12);
  CHECK(written.config["lora_dropout"] == 0.125);
  CHECK(written.config["target_modules"] == nlohmann::json{"in_proj"});
  CHECK(written.config["base_model_name_or_path"] == "two_layers");
  CHECK(written.tensors.size() == 4);
  const auto& B = written.tensors.at(peft_layer(1) + "in_proj.lora_B.weight");
  CHECK(B.first == std::vector<std::size_t>{2 * E, 6});
  CHECK(B.second[3] == 0.0);
  CHECK(B.second[E * 6] == 0.0);
  CHECK(B.second[E * 6 + 3] != 0.0);
}

TEST_CASE("peft export: ranks and scales that differ by site") {
  AdapterOptions options{LoRAOptions{.rank = 2, .alpha = 3.0},
                         options_at<site::InProjX>(LoRAOptions{.rank = 5, .alpha = 1.5}),
                         options_at<site::ALog>(LoRAOptions{.rank = 1, .alpha = 0.7})};
  const PeftParts written = check_written(stirred<presets::LoRAPeft<>>(options));
  CHECK(written.tensors.contains(peft_layer(0) + "base_layer.in_proj.lora_A.weight"));
  CHECK(written.tensors.contains(peft_layer(0) + "lora_A.weight"));
  CHECK(written.config["target_parameters"] == nlohmann::json{"mixer.A_log"});
  CHECK(written.config["rank_pattern"].size() == 2);
  using Stabilised = Place<On<site::XProjB, RsLoRA<>>, On<site::InProjZ, LoRA<>>>;
  check_written(stirred<Stabilised>(AdapterOptions{LoRAOptions{.rank = 3, .alpha = 6.0}}));
}

TEST_CASE("peft export: layer ranges name their modules") {
  const AdapterOptions options{LoRAOptions{.rank = 2}, Layers<site::InProjX>{1, 2}, Layers<site::ALog>{1, 2},
                               Layers<site::XProjDt>{0, 1}};
  const PeftParts written = check_written(stirred<presets::LoRAPeft<>>(options));
  CHECK(written.config["target_parameters"] == nlohmann::json{"backbone.layers.1.mixer.A_log"});
  CHECK(written.tensors.contains(peft_layer(0) + "in_proj.lora_A.weight"));
  CHECK(written.tensors.contains(peft_layer(1) + "base_layer.in_proj.lora_A.weight"));
  CHECK(written.tensors.at(peft_layer(0) + "in_proj.lora_A.weight").first[0] == 2);
  CHECK(written.tensors.at(peft_layer(1) + "base_layer.in_proj.lora_A.weight").first[0] == 4);
}

TEST_CASE("peft export: selected dimensions are LoRAs that pick their channels, and a factor of rank N") {
  const auto model = stirred<SelectedSsm>(
      AdapterOptions{SelectedOptions{.channels = 3, .states = 2}, LoRAOptions{.rank = 2}}, some_selection());
  const PeftParts written = check_written(model);
  CHECK(written.tensors.at(peft_layer(0) + "base_layer.x_proj.lora_A.weight").first[0] ==
        3);  // B and C share it
  CHECK(written.tensors.at(peft_layer(0) + "lora_A.weight").first == std::vector<std::size_t>{N, N});
}

TEST_CASE("peft export: values that learn as a whole") {
  using Whole =
      Place<On<site::ALog, Full>, On<site::Norm, Full>, On<site::NormF, Full>, On<site::Embedding, Full>>;
  const PeftParts whole = check_written(stirred<Whole>());
  CHECK(whole.config["modules_to_save"] == nlohmann::json{"embeddings", "lm_head", "norm", "norm_f"});
  const PeftParts biases = check_written(stirred<presets::BitFit>());
  CHECK(biases.config["modules_to_save"] == nlohmann::json{"conv1d", "dt_proj"});
  CHECK(biases.tensors.contains(peft_layer(1) + "conv1d.weight"));
  CHECK(biases.config["target_modules"].size() == 1);  // a LoRA that adds nothing
  using Projections = Place<On<site::OutProj, Full>, On<site::XProjB, Full>, On<site::DtProj, Full>>;
  check_written(stirred<Projections>(AdapterOptions{Layers<site::OutProj>{1, 2}}));
}

TEST_CASE("peft export: DoRA, and the rows that it leaves as they are") {
  using Half = Place<On<site::InProjX, DoRA<>>, On<site::XProjC, DoRA<>>>;
  const PeftParts written =
      check_written(stirred<Half>(AdapterOptions{DoRAOptions{.rank = 3, .alpha = 4.0}}));
  CHECK(written.config["use_dora"] == true);
  CHECK(written.tensors.at(peft_layer(0) + "in_proj.lora_magnitude_vector").first ==
        std::vector<std::size_t>{2 * E});
}

TEST_CASE("peft export: a frozen A, and PiSSA less where it began, are LoRAs") {
  using Fixed = Place<On<site::InProjX, LoRAFA<3>>, On<site::XProjB, LoRAFA<>>>;
  const PeftParts frozen = check_written(stirred<Fixed>(LoRAFAOptions{.rank = 2, .alpha = 3.0}));
  CHECK(frozen.tensors.at(peft_layer(0) + "in_proj.lora_A.weight").first == std::vector<std::size_t>{3, 13});
  using Principal = Place<On<site::InProjX, PiSSA<>>, On<site::InProjZ, LoRA<>>, On<site::XProjB, PiSSA<>>>;
  const PeftParts twice = check_written(stirred<Principal>(LoRAOptions{.rank = 2, .alpha = 3.0}));
  CHECK(twice.tensors.at(peft_layer(1) + "in_proj.lora_A.weight").first == std::vector<std::size_t>{6, 13});
  CHECK(twice.tensors.at(peft_layer(1) + "x_proj.lora_B.weight").first ==
        std::vector<std::size_t>{R + 2 * N, 4});
}

TEST_CASE("peft export: an embedding's lookup") {
  using WithEmbedding = Place<On<site::InProjX, LoRA<>>, On<site::Embedding, LoRA<>>>;
  check_written(
      stirred<WithEmbedding>(AdapterOptions{LoRAOptions{.rank = 2, .alpha = 5.0, .lookup_only = true}}));
  const std::string text = obstacles_of(stirred<WithEmbedding>());
  test::check_parts(text, {"embedding: ", "acts on the head as well", "merge"});
}

TEST_CASE("peft export: peft's own adapters come back tensor by tensor") {
  using Projections = Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>, On<site::XProjDt, LoRA<>>,
                            On<site::XProjB, LoRA<>>, On<site::XProjC, LoRA<>>>;
  const test::Folder folder;
  const auto path = Reference::path_of("lora_peft");
  save_peft_adapter(load_peft_adapter<Model<Projections>>(peft_base<double>(), path), folder.path());
  const PeftParts before(path), after(folder.path());
  CHECK(before.tensors == after.tensors);
  for (const char* field : {"r", "lora_alpha", "target_modules"})
    CHECK(before.config[field] == after.config[field]);
}

TEST_CASE("peft export: in float, over an adapter that stands there") {
  const test::Folder folder;
  const auto model = stirred<presets::LoRAPeft<>, float>(AdapterOptions{LoRAOptions{.rank = 2}});
  folder.write("adapter_config.json", "{}");
  folder.write("adapter_model.safetensors", "old");
  save_peft_adapter(model, folder.path());
  CHECK(folder.entries() == 2);
  CHECK(TensorFile::open(folder / "adapter_model.safetensors").info(peft_layer(0) + "lora_A.weight").dtype ==
        Dtype::F32);
  check_written(model, 1e-5);
}

TEST_CASE("peft export: sites that the format cannot hold, each with the way out") {
  test::check_parts(
      obstacles_of(stirred<presets::LoRAAll<>>()),
      {"out_proj: peft refuses LoRA there", "dt_proj: transformers reads its weight", "; merge"});
  CHECK(obstacles_of(stirred<presets::LoRALinear<>>()).find("in_proj") == std::string::npos);
  test::check_parts(obstacles_of(stirred<Place<On<site::D, Full>, On<site::Conv1d, LoRA<>>>>()),
                    {"D: is a bare vector", "conv1d: "});
  test::check_parts(obstacles_of(stirred<presets::InitialState>()),
                    {"h0: ", "keep this library's own adapter"});
  test::check_parts(obstacles_of(stirred<Place<On<site::InProjX, IA3>>>()),
                    {"in_proj_x: the format has no ia3"});
  test::check_parts(obstacles_of(stirred<Place<On<site::ALog, Full>, On<site::ConvBias, Full>>>()),
                    {"conv_bias: peft saves no module inside a mixer whose A_log"});
  test::check_parts(obstacles_of(stirred<Place<On<site::InProjX, Full>, On<site::InProjZ, LoRA<>>>>()),
                    {"in_proj_x: learns as a whole beside lora at in_proj_z"});
  test::check_parts(
      obstacles_of(
          stirred<Place<On<site::InProjX, DoRA<>>, On<site::InProjZ, LoRA<>>, On<site::ALog, LoRA<>>>>()),
      {"in_proj_z: is lora beside DoRA", "A_log: peft adapts no bare parameter"});
}

TEST_CASE("peft export: values that are not finite are not written") {
  auto model = stirred<InProj>();
  model.parameters().values()[5] = std::numeric_limits<double>::quiet_NaN();
  const test::Folder folder;
  check_error<Error>([&] { save_peft_adapter(model, folder / "out"); },
                     {"layers.0.in_proj_x.lora_A", "element 5"});
  CHECK(!std::filesystem::exists(folder / "out"));
}
