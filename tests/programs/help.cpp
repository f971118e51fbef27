#include "support.hpp"

#include <doctest/doctest.h>

#include <sdlora/io/mapped_file.hpp>

using namespace programs;

TEST_CASE("programs: --help lists the options and succeeds") {
  const std::pair<const char*, std::vector<const char*>> all[] = {
      {"sdlora finetune",
       {"--model",
        "--data",
        "--eval",
        "--placement",
        "--rank",
        "--out",
        "--epochs",
        "--steps",
        "--batch-size",
        "--learning-rate",
        "--seed",
        "--threads",
        "--checkpoint-every",
        "--resume",
        "sdlora",
        "lora-linear",
        "lora-ssm",
        "lora-all",
        "lora-out",
        "lora-peft",
        "sdlora-linear",
        "rslora-linear",
        "dora-linear",
        "pissa-linear",
        "prodial",
        "sdt",
        "sdt-dora",
        "vera-linear",
        "ia3",
        "bitfit",
        "prompt",
        "prefix",
        "initial-state",
        "state-offset",
        "full"}},
      {"sdlora generate",
       {"--model", "--adapter", "--prompt", "--file", "--json", "--temperature", "--top-k", "--top-p",
        "--seed", "--stop", "--stop-ids"}},
      {"sdlora score", {"--model", "--adapter", "--ids", "--text", "--file", "--json"}},
      {"sdlora evaluate",
       {"--model", "--adapter", "--data", "--format", "--template", "--max-length", "--accuracy",
        "--candidates", "--per-token", "--generate", "--max-tokens", "--stop", "--predictions", "--json"}},
      {"sdlora inspect", {"path PATH", "--model", "--json"}},
      {"sdlora tokenize", {"--model", "--text", "--file"}},
      {"sdlora merge", {"--model", "--adapter", "--out", "--dtype", "--ignore-base-fingerprint"}},
      {"sdlora export", {"--model", "--adapter", "--out", "--format", "--base-name", "peft"}},
      {"pretrain", {"--text", "--heldout", "--out"}},
      {"compare_placements", {"--quick"}},
      {"baselines", {"--train", "--test"}},
      {"synthetic_s4", {"--out", "--seeds", "--rates", "--methods", "--quick", "--report"}}};
  for (const auto& [name, options] : all) {
    CAPTURE(name);
    const Result result = run(name, {"--help"});
    CHECK(result.status == 0);
    CHECK(result.err.empty());
    for (const char* option : options) {
      CAPTURE(option);
      CHECK(result.out.find(option) != std::string::npos);
    }
    const Result wrong = run(name, {"--no-such-option"});
    CHECK(wrong.status > 0);
    CHECK(wrong.status < 126);
    CHECK(wrong.out.empty());
    CHECK(!wrong.err.empty());
  }
}

TEST_CASE("programs: pretrain writes a checkpoint that the others take") {
  const Workplace at;
  at.write("text", "one two three four five six seven eight nine ten");
  const Arguments arguments{
      "--text",   at.at("text"), "--heldout", at.at("text"), "--out",   at.at("made"), "--d-model",    "16",
      "--layers", "1",           "--length",  "16",          "--steps", "3",           "--batch-size", "2"};
  const std::string out = run_well("pretrain", arguments);
  CHECK(out.find("bits per byte") != std::string::npos);
  CHECK(names_in(at / "made") == std::vector<std::string>{"checkpoint", "config.json", "model.safetensors"});
  score({"--model", at.at("made"), "--text", "one two"});
  CHECK(run_well("sdlora generate", {"--model", at.at("made"), "--prompt", "one"}).starts_with("one"));
  const Result missing =
      run("pretrain", {"--text", at.at("absent"), "--heldout", at.at("text"), "--out", at.at("x")});
  CHECK(missing.status == 1);
  CHECK(missing.out.empty());
  CHECK(missing.err.find(at.at("absent")) != std::string::npos);
}
