#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace programs;

namespace {

struct Pretraining : Workplace {
  Pretraining() { write("text", "one two three four five six seven eight nine ten"); }

  /// A tiny run into `out`, with `more` in the place of the same options.
  Arguments into(const std::string& out, const Arguments& more = {}) const {
    Arguments all{"--text",   at("text"), "--heldout", at("text"), "--out",   at(out), "--d-model",    "16",
                  "--layers", "1",        "--length",  "16",       "--steps", "3",     "--batch-size", "2"};
    for (std::size_t i = 0; i + 1 < more.size(); i += 2) {
      const auto given = std::find(all.begin(), all.end(), more[i]);
      if (given != all.end()) all.erase(given, given + 2);
    }
    return with(all, more);
  }
};

}  // namespace

TEST_CASE("programs: pretrain leaves every model that it did not make as it was") {
  const Pretraining at;
  const std::string config = test::content(at / "base/config.json");
  const std::string weights = test::content(at / "base/model.safetensors");
  const std::string already = at.at("base") + ": holds a model already (config.json); remove it, or choose";
  for (const auto& [more, reason] :
       {std::pair{Arguments{}, already}, std::pair{Arguments{"--base", at.at("other_base")}, already},
        std::pair{Arguments{"--base", at.at("base")}, std::string("base's own directory; choose another")}}) {
    check_fails("pretrain", at.into("base", more), {reason});
    CHECK(run("pretrain", with(at.into("base", more), {"--resume"})).status == 1);
    CHECK(test::content(at / "base/config.json") == config);
    CHECK(test::content(at / "base/model.safetensors") == weights);
    CHECK(names_in(at / "base") == std::vector<std::string>{"config.json", "model.safetensors"});
  }
  // Its own it goes on with, and no other run does.
  std::filesystem::create_directory(at / "made");
  at.write("made/.config.json.tmp-1-1", "half");
  run_well("pretrain", at.into("made"));
  CHECK(names_in(at / "made") == std::vector<std::string>{"checkpoint", "config.json", "model.safetensors"});
  const std::string made = test::content(at / "made/model.safetensors");
  check_fails("pretrain", at.into("made"), {"checkpoint.safetensors", "--resume"});
  const Result again = run("pretrain", with(at.into("made"), {"--resume"}));
  CHECK(again.status == 0);
  CHECK(again.err.find("resumed after step 3") != std::string::npos);
  CHECK(run("pretrain", with(at.into("made", {"--seed", "5"}), {"--resume"})).status == 1);
  CHECK(test::content(at / "made/model.safetensors") == made);
  std::filesystem::remove_all(at / "made/checkpoint");
  check_fails("pretrain", at.into("made", {"--seed", "5"}), {"holds a model already"});
  CHECK(test::content(at / "made/model.safetensors") == made);
}

TEST_CASE("programs: pretrain goes on from a base of bytes only, and with its sizes") {
  const Pretraining at;
  check_fails("pretrain", at.into("out", {"--base", at.at("ids_base")}),
              {at.at("ids_base/config.json"), "byte", "37"});
  std::string config = test::content(at / "other_base/config.json");
  config.replace(config.find("\"byte\""), 6, "\"gpt2\"");
  at.write("other_base/config.json", config);
  check_fails("pretrain", at.into("out", {"--base", at.at("other_base")}), {"gpt2", "byte"});
  check_fails("pretrain", at.into("out", {"--base", ""}), {"--base: expected a path, found an empty one"});
  CHECK(!std::filesystem::exists(at / "out"));
  const Result sized = run("pretrain", at.into("out", {"--base", at.at("base")}));
  CHECK(sized.status == 0);
  CHECK(sized.err.find("without effect with --base, whose sizes they are: --d-model, --layers\n") !=
        std::string::npos);
  CHECK(sdlora::read_checkpoint_config(at / "out").d_model == 12);
}

TEST_CASE("programs: pretrain says what is wrong") {
  const Pretraining at;
  at.write("empty", "");
  at.write("short", "a");
  const auto fails = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    check_fails("pretrain", at.into("out", more), parts);
    CHECK(!std::filesystem::exists(at / "out"));
  };
  fails({"--length", "0"}, {"--length", "at least 2", "found 0"});
  fails({"--length", "1"}, {"--length", "at least 2", "found 1"});
  run_well("pretrain", at.into("long", {"--length", "18446744073709551615"}));
  fails({"--d-model", "0"}, {"--d-model", "at least 1"});
  fails({"--layers", "0"}, {"--layers", "at least 1"});
  fails({"--d-model", "4611686018427387904"}, {"extents (264, 4611686018427387904)"});
  fails({"--epochs", "2", "--steps", "3"}, {"--epochs", "--steps"});
  fails({"--text", at.at("empty")}, {at.at("empty"), "at least 2 bytes", "found 0"});
  fails({"--heldout", at.at("short")}, {at.at("short"), "at least 2 bytes", "found 1"});
  // What fails later leaves no empty folder.
  const Result refused = run("pretrain", at.into("out", {"--learning-rate", "0"}));
  CHECK(refused.status == 1);
  CHECK(!std::filesystem::exists(at / "out"));
}

TEST_CASE("programs: pretrain counts epochs where they are given") {
  const Pretraining at;
  Arguments epochs = at.into("out", {"--epochs", "2"});
  const auto steps = std::find(epochs.begin(), epochs.end(), "--steps");
  epochs.erase(steps, steps + 2);
  const Result result = run("pretrain", epochs);
  CHECK(result.status == 0);
  CHECK(result.err.find("training 4/4 ") != std::string::npos);  // 3 windows in batches of 2, twice
}
