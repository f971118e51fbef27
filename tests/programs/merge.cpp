#include "support.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sdlora/io/model_config.hpp>
#include <sdlora/io/safetensors.hpp>
#include <sdlora/tensor/bfloat16.hpp>

#include <cmath>
#include <cstddef>

using namespace programs;

TEST_CASE("programs: a merged checkpoint keeps what the base says of itself") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-all", "tuned"));
  run_well("sdlora merge", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("merged")});
  const sdlora::CheckpointConfig config = sdlora::read_checkpoint_config(at / "merged");
  CHECK(config.tokenizer == "byte");
  CHECK(config.vocab_size == 264);
  CHECK(names_in(at / "merged") == std::vector<std::string>{"config.json", "model.safetensors"});
}

TEST_CASE("programs: token ids, tokenizer and generation files come through a merge") {
  const Workplace at;
  at.set_config("ids_base", "eos_token_id", {20, 2});
  at.set_config("ids_base", "bos_token_id", 1);
  at.set_config("ids_base", "pad_token_id", 3);
  const std::string tokenizer = "{\"version\": \"1.0\"}";
  at.write("ids_base/tokenizer.json", tokenizer);
  at.write("ids_base/tokenizer_config.json", "{\"eos_token\": \"x\"}");
  at.write("ids_base/generation_config.json", "{\"eos_token_id\": [20, 4]}");
  Arguments tuning = at.finetune("bitfit", "tuned");
  tuning[1] = at.at("ids_base");
  tuning[3] = at.at("ids.jsonl");
  run_well("sdlora finetune", tuning);
  const Arguments merge{"--model", at.at("ids_base"), "--adapter", at.at("tuned"), "--out", at.at("merged")};
  CHECK(run("sdlora merge", merge).err == "merged checkpoint written to " + at.at("merged") + "\n");
  CHECK(names_in(at / "merged") == std::vector<std::string>{"config.json", "generation_config.json",
                                                            "model.safetensors", "tokenizer.json",
                                                            "tokenizer_config.json"});
  CHECK(test::content(at / "merged/tokenizer.json") == tokenizer);
  const auto config = nlohmann::json::parse(test::content(at / "merged/config.json"));
  CHECK(config["eos_token_id"] == nlohmann::json({20, 2}));
  CHECK(config["bos_token_id"] == 1);
  CHECK(config["pad_token_id"] == 3);
  CHECK(sdlora::read_checkpoint_config(at / "merged").stop_tokens == std::vector<std::int32_t>{20, 4});
  // Without a tokenizer Python would make an empty one in silence.
  std::filesystem::remove(at / "ids_base/tokenizer.json");
  const Result bare =
      run("sdlora merge", with(Arguments(merge.begin(), merge.begin() + 4), {"--out", at.at("bare")}));
  CHECK(bare.status == 0);
  CHECK(bare.err.find("has no tokenizer.json: copy") != std::string::npos);
}

TEST_CASE("programs: merge rounds once to bfloat16 where that is asked for") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-all", "tuned"));
  const Arguments merge{"--model", at.at("base"), "--adapter", at.at("tuned")};
  run_well("sdlora merge", with(merge, {"--out", at.at("wide")}));
  run_well("sdlora merge", with(merge, {"--out", at.at("narrow"), "--dtype", "bfloat16"}));
  const auto dtype = [&](const char* name) {
    return nlohmann::json::parse(test::content(at / name))["torch_dtype"];
  };
  CHECK(dtype("wide/config.json") == "float32");
  CHECK(dtype("narrow/config.json") == "bfloat16");
  const auto wide = sdlora::TensorFile::open(at / "wide/model.safetensors");
  const auto narrow = sdlora::TensorFile::open(at / "narrow/model.safetensors");
  REQUIRE(wide.names() == narrow.names());
  for (const std::string& name : wide.names()) {
    CAPTURE(name);
    CHECK(narrow.info(name).dtype == sdlora::Dtype::BF16);
    const auto exact = wide.read<float>(name), rounded = narrow.read<float>(name);
    for (std::size_t i = 0; i < exact.size(); ++i)
      REQUIRE(rounded[i] == static_cast<float>(sdlora::BFloat16(exact[i])));
  }
  score({"--model", at.at("narrow"), "--text", "abc"});
  check_fails("sdlora merge", with(merge, {"--out", at.at("half"), "--dtype", "float16"}),
              {"--dtype: expected float32 or bfloat16, found 'float16'"});
}

TEST_CASE("programs: an adapter on int8 merges into the values that it was trained on") {
  const Workplace at;
  auto train = at.finetune("lora-linear", "tuned");
  train.insert(train.end(), {"--weights", "int8"});
  run_well("sdlora finetune", train);
  const Arguments merge{"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("merged")};
  check_fails("sdlora merge", merge, {"base_fingerprint"});
  run_well("sdlora merge", with(merge, {"--weights", "int8"}));
  const auto adapted = score(
      {"--model", at.at("base"), "--adapter", at.at("tuned"), "--text", "abc def", "--weights", "int8"});
  const auto merged = score({"--model", at.at("merged"), "--text", "abc def"});
  REQUIRE(merged.logprobs.size() == adapted.logprobs.size());
  for (std::size_t i = 0; i < merged.logprobs.size(); ++i) {
    CHECK(std::abs(merged.logprobs[i] - adapted.logprobs[i]) < 1e-3);
  }
}

TEST_CASE("programs: merge stays out of the folder of a run") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  const std::string adapter = test::content(at / "tuned/adapter.safetensors");
  const auto before = names_in(at / "tuned");
  check_fails(
      "sdlora merge", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("tuned")},
      {at.at("tuned"), "holds a run of sdlora finetune (adapter.safetensors)", "choose another --out"});
  CHECK(names_in(at / "tuned") == before);
  std::filesystem::remove(at / "tuned/adapter.safetensors");
  check_fails("sdlora merge", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("new")},
              {"tuned/adapter.safetensors", "the run in this folder has not ended", "--resume"});
}

TEST_CASE("programs: merge leaves every model that it finds as it was") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  const auto merge = [&](const std::string& out) {
    return Arguments{"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at(out)};
  };
  const std::string weights = test::content(at / "other_base/model.safetensors");
  check_fails("sdlora merge", merge("other_base"),
              {at.at("other_base"), "holds a model already (config.json)", "remove it, or choose another"});
  CHECK(test::content(at / "other_base/model.safetensors") == weights);
  run_well("sdlora merge", merge("merged"));
  check_fails("sdlora merge", merge("merged"), {"holds a model already"});
  // In shards.
  std::filesystem::create_directories(at / "sharded");
  at.write("sharded/model.safetensors.index.json", "{}");
  check_fails("sdlora merge", merge("sharded"), {"holds a model already (model.safetensors.index.json)"});
  CHECK(names_in(at / "sharded") == std::vector<std::string>{"model.safetensors.index.json"});
  // The tokenizer's files may lie there before.
  std::filesystem::create_directories(at / "fresh");
  at.write("fresh/tokenizer.json", "{}");
  // What a killed program left half-written goes.
  at.write("fresh/.model.safetensors.tmp-1-0", "half");
  run_well("sdlora merge", merge("fresh"));
  CHECK(names_in(at / "fresh") ==
        std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json"});
}

TEST_CASE("programs: merge says what is wrong") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("bitfit", "tuned"));
  const auto fails = [&](const std::string& model, const std::string& adapter, const std::string& out,
                         std::initializer_list<std::string> parts) {
    check_fails("sdlora merge", {"--model", at.at(model), "--adapter", at.at(adapter), "--out", at.at(out)},
                parts);
  };
  const std::string weights = test::content(at / "base/model.safetensors");
  fails("base", "tuned", "base", {"--out", "base's own directory"});
  fails("base", "tuned", "base/../base/", {"--out", "base's own directory"});
  CHECK(test::content(at / "base/model.safetensors") == weights);
  fails("base", "absent", "merged", {"absent/adapter.safetensors"});
  fails("absent", "tuned", "merged", {at.at("absent")});
  fails("other_base", "tuned", "merged", {"tuned/adapter.safetensors", "base_fingerprint"});
  fails("base", "tuned", "train.jsonl", {"train.jsonl", "directory"});
  fails("base/model.safetensors", "tuned", "merged", {"base/model.safetensors", "expected a directory"});
  fails("base", "tuned/adapter.safetensors", "merged",
        {"tuned/adapter.safetensors", "expected the directory of an adapter, found a file"});
  check_fails("sdlora merge", {"--model", at.at("base"), "--adapter", "", "--out", at.at("merged")},
              {"--adapter: expected a path, found an empty one"});
  check_fails("sdlora merge", {"--model", at.at("base")}, {"required"});
  CHECK(!std::filesystem::exists(at / "merged"));
}
