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
  // Over an earlier one.
  run_well("merge", {"--model", at.at("base"), "--adapter", at.at("tuned"), "--out", at.at("merged")});
  CHECK(names_in(at / "merged") == std::vector<std::string>{"config.json", "model.safetensors"});
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
  check_fails("merge", {"--model", at.at("base")}, {"required"});
  CHECK(!std::filesystem::exists(at / "merged"));
}
