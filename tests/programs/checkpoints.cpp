#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sdlora/io/safetensors.hpp>
#include <sdlora/io/safetensors_writer.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace programs;

// Checkpoints as they are published: see what they hold beside, or instead of, what is expected.

TEST_CASE("programs: stale sizes, names without backbone. and Python's numbers change nothing") {
  const Workplace at;
  const Arguments arguments{"--model", at.at("ids_base"), "--ids", "1,2,3,4"};
  const Scores before = score(arguments);
  for (const char* stale : {"d_model", "n_layer", "d_inner", "dt_rank", "d_state"})
    at.set_config("ids_base", stale, 99);
  at.set_config("ids_base", "expand", 16);
  std::string config = test::content(at / "ids_base/config.json");
  config.insert(1, "\"time_step_limit\": [0.0, Infinity], ");
  at.write("ids_base/config.json", config);
  {
    const auto file = sdlora::TensorFile::open(at / "ids_base/model.safetensors");
    sdlora::SafetensorsWriter writer;
    std::vector<std::vector<float>> values;
    for (const std::string& name : file.names()) values.push_back(file.read<float>(name));
    std::size_t i = 0;
    for (const std::string& name : file.names()) {
      writer.add(name.substr(std::string("backbone.").size()), sdlora::Dtype::F32, file.info(name).shape,
                 std::span<const float>(values[i++]));
    }
    writer.save(at / "ids_base/model.safetensors");
  }
  CHECK(largest_difference(before, score(arguments)) == 0.0);
}

TEST_CASE("programs: what is no checkpoint gets the sentence that helps") {
  const Workplace at;
  const auto fails = [&](const std::string& model, std::initializer_list<std::string> parts) {
    check_fails("sdlora score", {"--model", model, "--ids", "1,2"}, parts);
  };
  fails("state-spaces/mamba-130m-hf", {"hf download state-spaces/mamba-130m-hf --local-dir mamba-130m-hf"});
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  fails(at.at("tuned"), {"found an adapter", "its base"});
  check_fails("sdlora score", {"--model", at.at("base"), "--adapter", at.at("base"), "--ids", "1,2"},
              {"adapter.safetensors", "there is a checkpoint"});
  std::filesystem::create_directory(at / "peft");
  at.write("peft/adapter_config.json", "{\"peft_type\": \"LORA\"}");
  at.write("peft/adapter_model.safetensors", "");
  check_fails("sdlora score", {"--model", at.at("base"), "--adapter", at.at("peft"), "--ids", "1,2"},
              {"peft/adapter_config.json", "field r"});
  at.write("base/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n");
  fails(at.at("base"), {"base/model.safetensors", "git lfs pull"});
  std::filesystem::rename(at / "base/model.safetensors", at / "base/pytorch_model.bin");
  fails(at.at("base"), {"found pytorch_model.bin", "python3 -c", "save_file"});
  at.write("base/config.json", R"({"model_type": "mamba2", "time_step_limit": [0.0, Infinity]})");
  fails(at.at("base"), {"\"mamba2\"", "Mamba-2 are others and are not read here"});
}

TEST_CASE("programs: no file of a run becomes a stream that was closed before the start") {
  const Workplace at;
  std::string line = "exec " + path_of("sdlora") + " finetune";
  for (const std::string& argument : at.finetune("bitfit", "tuned")) line += " '" + argument + "'";
  line += " --checkpoint-every 1 0<&- 1>&- 2>&-";
  REQUIRE(std::system(line.c_str()) == 0);
  const std::string metrics = test::content(at / "tuned/metrics.jsonl");
  std::size_t lines = 0;
  for (std::size_t begin = 0; begin < metrics.size(); ++lines) {
    const std::size_t end = metrics.find('\n', begin);
    REQUIRE(end != std::string::npos);
    CHECK(nlohmann::json::accept(metrics.substr(begin, end - begin)));
    begin = end + 1;
  }
  CHECK(lines == 3);
  // What should be printed is not lost in silence.
  CHECK(
      std::system(("exec " + path_of("sdlora") + " score --model '" + at.at("base") + "' --ids 1,2 1>&- 2>&-")
                      .c_str()) != 0);
}
