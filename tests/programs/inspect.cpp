#include "support.hpp"

#include <doctest/doctest.h>

#include <sdlora/io/adapter.hpp>
#include <sdlora/io/safetensors.hpp>
#include <string>
#include <vector>

using namespace programs;
using nlohmann::json;

namespace {

json inspect(const Arguments& arguments) {
  return json::parse(run_well("sdlora inspect", with(arguments, {"--json"})));
}

/// The tensors that are listed are those of the file, with its sums.
void check_lists(const json& found, const std::filesystem::path& path) {
  const auto file = sdlora::TensorFile::open(path);
  std::size_t values = 0, bytes = 0;
  REQUIRE(found.at("tensors").size() == file.size());
  for (const json& tensor : found.at("tensors")) {
    const std::string name = tensor.at("name");
    CAPTURE(name);
    REQUIRE(file.contains(name));
    CHECK(tensor.at("shape") == json(file.info(name).shape));
    CHECK(tensor.at("dtype") == std::string(sdlora::dtype_name(file.info(name).dtype)));
    CHECK(tensor.at("bytes") == file.bytes(name).size());
    CHECK(tensor.contains("layer") == (name.find("layers.") != std::string::npos));
    values += file.info(name).elements();
    bytes += file.bytes(name).size();
  }
  CHECK(found.at("values") == values);
  CHECK(found.at("bytes") == bytes);
}

void check_has(const std::string& text, std::initializer_list<std::string> parts) {
  CAPTURE(text);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

/// "X of Y parameters learn" of a run's messages.
std::pair<std::size_t, std::size_t> counts_of(const std::string& err, const std::string& placement) {
  std::size_t learned = 0, all = 0;
  const std::size_t at = err.find("\n" + placement + ": ");
  REQUIRE(at != std::string::npos);
  REQUIRE(std::sscanf(err.c_str() + at + placement.size() + 3, "%zu of %zu parameters", &learned, &all) == 2);
  return {learned, all};
}

}  // namespace

TEST_CASE("programs: inspect shows a checkpoint by its headers alone") {
  const Workplace at;
  const json found = inspect({at.at("base")});
  check_lists(found, at / "base/model.safetensors");
  CHECK(found.at("kind") == "checkpoint");
  CHECK(found.at("model") == "mamba");
  CHECK(found.at("layers") == 2);
  CHECK(found.at("d_model") == 12);
  CHECK(found.at("d_inner") == 24);
  CHECK(found.at("d_state") == 16);
  CHECK(found.at("vocabulary") == 264);
  CHECK(found.at("tied_head") == true);

  CHECK(inspect({"--model", at.at("base")}) == found);
  const std::string text = run_well("sdlora inspect", {at.at("base")});
  check_has(text, {"a checkpoint of mamba\n2 layers, d_model 12, d_inner 24", "head tied to the embedding",
                   "backbone.layers.0 to 1, each: 10 tensors", "\n  mixer.A_log ", "F32   [24, 16] ",
                   "1.5 KiB\n", "backbone.embeddings.weight ", "in all: 22 tensors, "});
  // Values that no other command takes.
  std::string weights = test::content(at / "base/model.safetensors");
  std::fill(weights.end() - 4000, weights.end(), '\xff');
  at.write("base/model.safetensors", weights);
  check_fails("sdlora score", {"--model", at.at("base"), "--ids", "1,2"}, {"finite"});
  CHECK(run_well("sdlora inspect", {at.at("base")}) == text);
}

TEST_CASE("programs: inspect shows an adapter's sites, its share and what it selects") {
  const Workplace at;
  const Result trained = run("sdlora finetune", at.finetune("sdlora", "tuned"));
  REQUIRE(trained.status == 0);
  const auto [learned, all] = counts_of(trained.err, "sdlora");
  const json found = inspect({at.at("tuned"), "--model", at.at("base")});
  check_lists(found, at / "tuned/adapter.safetensors");
  CHECK(found.at("kind") == "adapter");
  CHECK(found.at("values") == learned);
  CHECK(found.at("base_parameters").get<std::size_t>() <= all);
  CHECK(found.at("share").get<double>() ==
        doctest::Approx(static_cast<double>(learned) / found.at("base_parameters").get<double>()));
  const auto description = sdlora::read_adapter_description(at / "tuned");
  REQUIRE(found.at("selection").size() == 2);
  for (std::size_t l = 0; l < 2; ++l) {
    CHECK(found.at("selection")[l].at("channels") == json(description.selection.layers[l].channels));
    CHECK(found.at("selection")[l].at("states") == json(description.selection.layers[l].states));
  }
  std::size_t sum = 0;
  std::string sites;
  for (const json& site : found.at("sites")) {
    sites += site.at("site").get<std::string>() + "=" + site.at("method").get<std::string>() + " ";
    CHECK(site.at("values").get<std::size_t>() > 0);
    sum += site.at("values").get<std::size_t>();
  }
  CHECK(sites == description.placement + " ");
  CHECK(sum == learned);

  const std::string text = run_well("sdlora inspect", {at.at("tuned"), "--model", at.at("base")});
  const auto& first = description.selection.layers[0];
  check_has(
      text,
      {"an adapter of this library\nfor 2 layers, d_model 12, vocabulary 264", "\nout_proj: lora, 4 tensors",
       "\nlayer 0: channels " + std::to_string(first.channels[0]) + " " + std::to_string(first.channels[1]) +
           " " + std::to_string(first.channels[2]) + "; states " + std::to_string(first.states[0]) + " " +
           std::to_string(first.states[1]) + " | ",
       " of the base: ", "\nlayers.0 to 1, each: "});
  const json without = inspect({at.at("tuned")});
  CHECK(!without.contains("share"));
  CHECK(without.at("tensors") == found.at("tensors"));

  // Once per model, and in every layer.
  run_well("sdlora finetune", at.finetune("prompt", "rows"));
  CHECK(inspect({at.at("rows")}).at("sites") ==
        json{{{"site", "prompt"}, {"method", "prompt_tuning"}, {"values", 36}}});
}

TEST_CASE("programs: inspect shows an adapter of peft") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-peft", "tuned"));
  run_well("sdlora export", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("peft")});
  const json found = inspect({at.at("peft"), "--model", at.at("base")});
  check_lists(found, at / "peft/adapter_model.safetensors");
  CHECK(found.at("kind") == "peft_adapter");
  CHECK(found.at("method") == "lora");
  CHECK(found.at("share").get<double>() > 0.0);
  CHECK(found.at("base_model") == at.at("base"));
  check_has(run_well("sdlora inspect", {at.at("peft")}),
            {"an adapter of peft\nlora of rank ", "in_proj", "at the parameters ", "A_log", "in all: "});
  at.set_config("base", "n_layer", 1);
  at.set_config("base", "num_hidden_layers", 1);
  check_fails("sdlora inspect", {at.at("peft"), "--model", at.at("base")},
              {at.at("peft/adapter_model.safetensors"), "expected a layer below 1"});
}

TEST_CASE("programs: inspect says what is wrong") {
  const Workplace at;
  check_fails("sdlora inspect", {}, {"expected the directory", "sdlora inspect DIRECTORY"});
  check_fails("sdlora inspect", {""}, {"path", "is a variable unset"});
  check_fails("sdlora inspect", {at.at("absent")}, {at.at("absent"), "no such folder"});
  check_fails("sdlora inspect", {at.at("train.jsonl")}, {at.at("train.jsonl"), "found a file"});
  check_fails("sdlora inspect", {at.at("base"), "--model", at.at("base")},
              {at.at("base"), "expected an adapter", "leave --model out"});
  std::filesystem::create_directories(at / "nothing");
  check_fails("sdlora inspect", {at.at("nothing")}, {at.at("nothing"), "config.json"});
  std::filesystem::create_directories(at / "run");
  at.write("run/metrics.jsonl", "");
  check_fails("sdlora inspect", {at.at("run")}, {"ended before its first checkpoint"});
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  check_fails("sdlora inspect", {at.at("tuned"), "--model", at.at("absent")},
              {at.at("absent"), "no such folder"});
  check_fails(
      "sdlora inspect", {at.at("tuned"), "--model", at.at("ids_base")},
      {at.at("tuned/adapter.safetensors"), "vocab_size", "expected 37", "found 264", "leave --model out"});
  at.write("tuned/adapter_config.json", "{}");
  check_fails("sdlora inspect", {at.at("tuned")}, {at.at("tuned"), "give each a folder of its own"});
  at.write("tuned/adapter.safetensors", "short");
  std::filesystem::remove(at / "tuned/adapter_config.json");
  check_fails("sdlora inspect", {at.at("tuned")}, {"tuned/adapter.safetensors"});
}
