// Adapters of peft as programs take and write them.
#include "support.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace programs;

namespace {

constexpr const char* ids = "1,200,33,4,5,60,7,8,99";

Scores with_adapter(const Workplace& at, const std::string& adapter, const Arguments& more = {}) {
  return score(with({"--model", at.at("base"), "--adapter", at.at(adapter), "--ids", ids}, more));
}

Arguments exporting(const Workplace& at, const std::string& adapter, const std::string& out) {
  return {"--model", at.at("base"), "--adapter", at.at(adapter), "--out", at.at(out)};
}

}  // namespace

TEST_CASE("programs: an exported adapter is scored, continued and merged as the one that it was") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-peft", "tuned"));
  run_well("sdlora export", with(exporting(at, "tuned", "peft"), {"--base-name", "some/base"}));
  CHECK(names_in(at / "peft") ==
        std::vector<std::string>{"adapter_config.json", "adapter_model.safetensors"});
  CHECK(nlohmann::json::parse(test::content(at / "peft/adapter_config.json")).at("base_model_name_or_path") ==
        "some/base");
  const Scores own = with_adapter(at, "tuned");
  CHECK(largest_difference(own, score({"--model", at.at("base"), "--ids", ids})) > 1e-3);
  CHECK(largest_difference(own, with_adapter(at, "peft")) < 1e-5);
  run_well("sdlora merge", {"--model", at.at("base"), "--adapter", at.at("peft"), "--out", at.at("merged")});
  CHECK(largest_difference(own, score({"--model", at.at("merged"), "--ids", ids})) < 1e-5);
  const Arguments generating{"--model",      at.at("base"), "--ids",         "1,2,3",
                             "--max-tokens", "5",           "--temperature", "0"};
  CHECK(run_well("sdlora generate", with(generating, {"--adapter", at.at("peft")})) ==
        run_well("sdlora generate", with(generating, {"--adapter", at.at("tuned")})));
}

TEST_CASE("programs: export names what peft cannot hold, and writes nothing") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-all", "tuned"));
  const Result result = run("sdlora export", exporting(at, "tuned", "peft"));
  CHECK(result.status > 0);
  for (const char* part :
       {"out_proj: peft refuses LoRA", "dt_proj: transformers reads", "merge", "lora-peft"}) {
    CAPTURE(result.err);
    CHECK(result.err.find(part) != std::string::npos);
  }
  CHECK(!std::filesystem::exists(at / "peft"));
  check_fails("sdlora export", with(exporting(at, "tuned", "peft"), {"--format", "gguf"}),
              {"--format", "'gguf'"});
  check_fails("sdlora export", exporting(at, "tuned", "tuned"),
              {"holds an adapter already (adapter.safetensors)"});
  check_fails("sdlora export", exporting(at, "tuned", "base"), {"base"});
}

TEST_CASE("programs: export says which methods and sites peft has not") {
  const Workplace at;
  const std::pair<const char*, const char*> all[] = {
      {"rslora-linear", "out_proj: peft refuses LoRA"},
      {"dora-linear", "out_proj: peft refuses LoRA"},
      {"pissa-linear", "out_proj: peft refuses LoRA"},
      {"prodial", "in_proj_x: the format has no prodial; merge"},
      {"vera-linear", "in_proj_x: the format has no vera; merge"},
      {"ia3", "x_proj_B: the format has no ia3; merge"},
      {"state-offset", "scan: is no change of a weight, which is all that the format holds; keep"}};
  for (const auto& [placement, reason] : all) {
    CAPTURE(placement);
    const Result tuned = run("sdlora finetune", at.finetune(placement, placement));
    CHECK(tuned.status == 0);
    const std::string why = std::string(reason).substr(std::string(reason).find(": ") + 2);
    CHECK(tuned.err.find("sdlora export cannot write ") != std::string::npos);
    CHECK(tuned.err.find(why) != std::string::npos);
    const Result result = run("sdlora export", exporting(at, placement, "peft"));
    CAPTURE(result.err);
    CHECK(result.status > 0);
    CHECK(result.err.find(reason) != std::string::npos);
    // Beside out_proj nothing of rsLoRA or DoRA is named.
    CHECK((result.err.find("in_proj") == std::string::npos) ==
          (std::string(reason).starts_with("out_proj") || std::string(reason).starts_with("scan")));
    CHECK(!std::filesystem::exists(at / "peft"));
  }
}

TEST_CASE("programs: an adapter of peft that cannot be used is refused") {
  const Workplace at;
  const Result tuned = run("sdlora finetune", at.finetune("lora-peft", "tuned"));
  CHECK(tuned.err.find("sdlora export cannot") == std::string::npos);
  run_well("sdlora export", exporting(at, "tuned", "peft"));
  check_fails("sdlora export", exporting(at, "peft", "again"), {"is in peft's format"});
  std::filesystem::copy(at / "tuned/adapter.safetensors", at / "peft/adapter.safetensors");
  check_fails("sdlora score", {"--model", at.at("base"), "--adapter", at.at("peft"), "--ids", "1,2"},
              {"holds an adapter of this library", "a folder of its own"});
}

TEST_CASE("programs: an adapter is put on other weights only where that is asked for") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("lora-peft", "tuned"));
  const Arguments on_other{"--model", at.at("other_base"), "--adapter", at.at("tuned"), "--ids", ids};
  check_fails("sdlora score", on_other, {"base_fingerprint", "--ignore-base-fingerprint"});
  score(with(on_other, {"--ignore-base-fingerprint"}));
  check_fails("sdlora score", {"--model", at.at("base"), "--ids", ids, "--ignore-base-fingerprint"},
              {"expected --adapter beside it"});
}
