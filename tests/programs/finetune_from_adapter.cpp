#include "support.hpp"

#include <doctest/doctest.h>

#include <sdlora/io/safetensors.hpp>

#include <string>
#include <vector>

using namespace programs;

namespace {

/// A run of one step at a rate that changes no value of float, from the adapter in `from`.
Arguments still(const Workplace& at, const std::string& from, const std::string& out) {
  return {"--model",  at.at("base"), "--data", at.at("train.jsonl"), "--out",
          at.at(out), "--steps",     "1",      "--learning-rate",    "1e-30",
          "--quiet",  "--threads",   "2",      "--from-adapter",     at.at(from)};
}

std::string without_option(Arguments& arguments, const std::string& option) {
  const auto found = std::find(arguments.begin(), arguments.end(), option);
  const std::string value = *(found + 1);
  arguments.erase(found, found + 2);
  return value;
}

}  // namespace

TEST_CASE("programs: finetune --from-adapter begins at an adapter's values, with its selection and options") {
  const Workplace at;
  const Arguments text{"--model", at.at("base"), "--text", "3 and one is 4"};
  for (const std::string placement :
       {"sdlora", "sdt", "lora-linear", "pissa-linear", "vera-linear", "prompt", "bitfit"}) {
    CAPTURE(placement);
    run_well("sdlora finetune", at.finetune(placement, placement));
    const std::string next = placement + "-next";
    // Without --placement it is the adapter's; a rank as the adapter's may be said again.
    Arguments arguments = still(at, placement, next);
    if (placement.starts_with("sd"))
      arguments = with(arguments, {"--rank", "2", "--channels", "3", "--placement", placement});
    const Result result = run("sdlora finetune", arguments);
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    CHECK(!std::filesystem::exists(at / (next + "/checkpoint/selection.json")));
    const auto first = score(with(text, {"--adapter", at.at(placement)}));
    CHECK(largest_difference(first, score(with(text, {"--adapter", at.at(next)}))) == 0.0);
    CHECK(largest_difference(first, score(text)) > 1e-4);
    // Further steps go on from there.
    Arguments onward = still(at, placement, placement + "-onward");
    without_option(onward, "--learning-rate");
    run_well("sdlora finetune", with(onward, {"--learning-rate", "0.05"}));
    CHECK(largest_difference(first, score(with(text, {"--adapter", at.at(placement + "-onward")}))) > 1e-4);
    // The description, which holds placement, options and selection, is the same.
    const auto description = [&](const std::string& folder) {
      return sdlora::TensorFile::open(at / (folder + "/adapter.safetensors")).metadata().at("sdlora_adapter");
    };
    CHECK(description(next) == description(placement));
  }
}

TEST_CASE("programs: finetune --from-adapter is resumed with the same adapter only") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("bitfit", "first"));
  run_well("sdlora finetune", with(at.finetune("bitfit", "second"), {"--seed", "3"}));
  run_well("sdlora finetune", still(at, "first", "out"));
  run_well("sdlora finetune", with(still(at, "first", "out"), {"--resume"}));
  const std::string adapter = test::content(at / "out/adapter.safetensors");
  const auto refused = [&](const Arguments& arguments, const std::string& part) {
    const Result result = run("sdlora finetune", with(arguments, {"--resume"}));
    CAPTURE(result.err);
    CHECK(result.status == 1);
    CHECK(result.err.find("initial_values") != std::string::npos);
    CHECK(result.err.find(part) != std::string::npos);
    CHECK(test::content(at / "out/adapter.safetensors") == adapter);
  };
  refused(still(at, "second", "out"), "\"adapter ");
  Arguments fresh = still(at, "first", "out");
  without_option(fresh, "--from-adapter");
  refused(with(fresh, {"--placement", "bitfit"}), "this one has \"\"");
  // And a run that began from fresh values does not go on from an adapter.
  Arguments other = with(at.finetune("bitfit", "first"), {"--resume", "--from-adapter", at.at("second")});
  const Result result = run("sdlora finetune", other);
  CHECK(result.status == 1);
  CHECK(result.err.find("initial_values") != std::string::npos);
}

TEST_CASE("programs: finetune --from-adapter says what does not fit the adapter") {
  const Workplace at;
  run_well("sdlora finetune", at.finetune("sdlora", "first"));
  const auto refused = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    check_fails("sdlora finetune", with(still(at, "first", "out"), more), parts);
    CHECK(!std::filesystem::exists(at / "out"));
  };
  refused({"--rank", "3"},
          {"--rank: expected 2 as in the adapter " + at.at("first"), "found 3", "leave it out"});
  refused({"--alpha", "5"}, {"--alpha", "found 5"});
  refused({"--dropout", "0.5"}, {"--dropout", "found 0.5"});
  refused({"--channels", "4"}, {"--channels: expected 3"});
  refused({"--states", "1"}, {"--states: expected 2"});
  refused({"--placement", "lora-linear"}, {"--placement: expected sdlora", "found lora-linear"});

  refused({"--layers", "out_proj=0-0"}, {"--layers: expected none as in the adapter", "leave it out"});

  Arguments other = still(at, "first", "out");
  other[1] = at.at("other_base");
  check_fails("sdlora finetune", other, {"base_fingerprint", "--ignore-base-fingerprint"});
  CHECK(!std::filesystem::exists(at / "out"));
  run_well("sdlora finetune", with(other, {"--ignore-base-fingerprint"}));

  check_fails("sdlora finetune", still(at, "absent", "next"),
              {"absent/adapter.safetensors", "no such folder"});
  at.write("file", "");
  check_fails("sdlora finetune", still(at, "file", "next"), {"file"});
  std::filesystem::create_directories(at / "peft");
  at.write("peft/adapter_config.json", "{\"peft_type\": \"LORA\"}");
  check_fails("sdlora finetune", still(at, "peft", "next"), {"is an adapter of peft"});
  Arguments none = still(at, "first", "next");
  without_option(none, "--from-adapter");
  check_fails("sdlora finetune", with(none, {"--ignore-base-fingerprint"}), {"expected --from-adapter"});
  // An adapter's own folder is taken.
  check_fails("sdlora finetune", still(at, "first", "first"), {"checkpoint.safetensors", "--resume"});
  CHECK(!std::filesystem::exists(at / "next"));
}
