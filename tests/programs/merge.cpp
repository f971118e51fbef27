#include "support.hpp"

#include <doctest/doctest.h>

#include <sdlora/io/model_config.hpp>

using namespace programs;

TEST_CASE("programs: a merged checkpoint keeps what the base says of itself") {
  const Workplace at;
  run_well("finetune", at.finetune("lora-all", "tuned"));
  run_well("merge", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("merged")});
  const sdlora::CheckpointConfig config = sdlora::read_checkpoint_config(at / "merged");
  CHECK(config.tokenizer == "byte");
  CHECK(config.vocab_size == 264);
  CHECK(names_in(at / "merged") == std::vector<std::string>{"config.json", "model.safetensors"});
}

TEST_CASE("programs: merge leaves every model that it finds as it was") {
  const Workplace at;
  run_well("finetune", at.finetune("bitfit", "tuned"));
  const auto merge = [&](const std::string& out) {
    return Arguments{"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at(out)};
  };
  const std::string weights = test::content(at / "other_base/model.safetensors");
  check_fails("merge", merge("other_base"),
              {at.at("other_base"), "holds a model already (config.json)", "remove it, or choose another"});
  CHECK(test::content(at / "other_base/model.safetensors") == weights);
  run_well("merge", merge("merged"));
  check_fails("merge", merge("merged"), {"holds a model already"});
  // In shards.
  std::filesystem::create_directories(at / "sharded");
  at.write("sharded/model.safetensors.index.json", "{}");
  check_fails("merge", merge("sharded"), {"holds a model already (model.safetensors.index.json)"});
  CHECK(names_in(at / "sharded") == std::vector<std::string>{"model.safetensors.index.json"});
  // The tokenizer's files may lie there before.
  std::filesystem::create_directories(at / "fresh");
  at.write("fresh/tokenizer.json", "{}");
  // What a killed program left half-written goes.
  at.write("fresh/.model.safetensors.tmp-1-0", "half");
  run_well("merge", merge("fresh"));
  CHECK(names_in(at / "fresh") ==
        std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json"});
}

TEST_CASE("programs: merge says what is wrong") {
  const Workplace at;
  run_well("finetune", at.finetune("bitfit", "tuned"));
  const auto fails = [&](const std::string& model, const std::string& adapter, const std::string& out,
                         std::initializer_list<std::string> parts) {
    check_fails("merge", {"--model", at.at(model), "--adapter", at.at(adapter), "--out", at.at(out)}, parts);
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
  check_fails("merge", {"--model", at.at("base"), "--adapter", "", "--out", at.at("merged")},
              {"--adapter: expected a path, found an empty one"});
  check_fails("merge", {"--model", at.at("base")}, {"required"});
  CHECK(!std::filesystem::exists(at / "merged"));
}
