#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>

// sdlora finetune --layers and --site-rates, --keep-best and --patience.

using namespace programs;

namespace {

/// How many parameters a run says that it trains.
long learned(const Arguments& arguments) {
  const Result result = run("sdlora finetune", arguments);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  const std::size_t end = result.err.find(" of ");
  REQUIRE(end != std::string::npos);
  return std::stol(result.err.substr(result.err.rfind(' ', end - 1) + 1));
}

}  // namespace

TEST_CASE("programs: a site learns in the layers that are named") {
  const Workplace at;
  const long both = learned(at.finetune("lora-out", "both"));
  CHECK(learned(with(at.finetune("lora-out", "one"), {"--layers", "out_proj=1-"})) == both / 2);
  CHECK(learned(with(at.finetune("lora-out", "same"), {"--layers", "out_proj=0, out_proj=1-1"})) == both);
  // The adapter says so, and is used so.
  const std::string shown = run_well("sdlora inspect", {at.at("one")});
  CAPTURE(shown);
  CHECK(shown.find("layers.1") != std::string::npos);
  CHECK(shown.find("layers.0") == std::string::npos);
  run_well("sdlora score", {"--model", at.at("base"), "--adapter", at.at("one"), "--ids", "1,2,3"});
}

TEST_CASE("programs: a site at rate 0 stays where it began") {
  const Workplace at;
  const Arguments arguments{"--model", at.at("base"), "--ids", "50,51,52,53"};
  run_well("sdlora finetune", with(at.finetune("lora-out", "still"), {"--site-rates", "out_proj=0"}));
  run_well("sdlora finetune", with(at.finetune("lora-out", "moved"), {"--site-rates", "out_proj=1"}));
  const Scores before = score(arguments);
  CHECK(largest_difference(before, score(with(arguments, {"--adapter", at.at("still")}))) == 0.0);
  CHECK(largest_difference(before, score(with(arguments, {"--adapter", at.at("moved")}))) > 0.0);
}

TEST_CASE("programs: what is said of single sites and cannot be meant is refused by its flag") {
  const Workplace at;
  for (const auto& [flag, value] : {std::pair{"--layers", "out_proj"},
                                    {"--layers", "out_proj=a"},
                                    {"--layers", "out_proj=0-2"},
                                    {"--layers", "out_proj=1-0"},
                                    {"--layers", "out_proj=0,out_proj=0-1"},
                                    {"--layers", "A_log=0"},
                                    {"--site-rates", "A_log=1"},
                                    {"--site-rates", "out_proj=-1"},
                                    {"--site-rates", "out_proj=nan"},
                                    {"--site-rates", "out_proj=1,out_proj=2"}}) {
    check_fails("sdlora finetune", with(at.finetune("lora-out", "out"), {flag, value}),
                {std::string("sdlora finetune: ") + flag + ": expected "});
  }
  for (const Arguments& alone : {Arguments{"--keep-best"}, Arguments{"--patience", "2"}}) {
    check_fails("sdlora finetune", with(at.finetune("lora-out", "out"), alone),
                {"sdlora finetune: " + alone.front() + ": expected --eval beside it"});
  }
  CHECK(!std::filesystem::exists(at / "out"));
}

TEST_CASE("programs: a run that does not get better ends, and its best values are what it leaves") {
  const Workplace at;
  at.write("dev.jsonl", test::content(at / "train.jsonl"));
  Arguments arguments =
      with(at.finetune("lora-all", "out"),
           {"--eval", at.at("dev.jsonl"), "--evaluate-every", "1", "--patience", "2", "--keep-best"});
  *(std::find(arguments.begin(), arguments.end(), "--learning-rate") + 1) = "0.5";
  *(std::find(arguments.begin(), arguments.end(), "--steps") + 1) = "500";
  const Result result = run("sdlora finetune", arguments);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  const std::string log = test::content(at / "out/metrics.jsonl");
  CHECK(std::count(log.begin(), log.end(), '\n') < 500);
}
