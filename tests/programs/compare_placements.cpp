#include "support.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace programs;

TEST_CASE("programs: compare_placements refuses rows that it does not have") {
  const Workplace at;
  const auto fails = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    check_fails("compare_placements", with({"--base", at.at("base"), "--out", at.at("out")}, more), parts);
    CHECK(!std::filesystem::exists(at / "out"));
  };
  fails({"--only", "nope"}, {"--only: 'nope' is no row", "choose of frozen, prompt", "with --full also"});
  fails({"--only", "bitfit, fro"}, {"'fro' is no row"});
  fails({"--only", "lora-out"},
        {"'lora-out' is no row", "with --full also initial-state, state-offset", "dora-linear", "lora-out"});
  fails({"--only", "nope", "--full"}, {"'nope' is no row", "lora-out"});
  fails({"--quick", "--full"}, {"--full", "--quick"});
}

TEST_CASE("programs: compare_placements draws nothing where nothing learns, and says so") {
  const Workplace at;
  std::filesystem::create_directories(at / "data");
  std::filesystem::create_directories(at / "out");
  for (const char* name : {"data/train.jsonl", "data/validation.jsonl", "data/test.jsonl"}) {
    at.write(name,
             "{\"prompt\": \"a dog is \", \"completion\": \"animal\"}\n"
             "{\"prompt\": \"a fir is \", \"completion\": \"plant\"}\n");
  }
  at.write("out/results.png", "of an earlier run");
  const Result result = run("compare_placements", {"--base", at.at("base"), "--data", at.at("data"), "--out",
                                                   at.at("out"), "--quick", "--only", "frozen"});
  CAPTURE(result.err);
  CHECK(result.status == 0);
  CHECK(result.err.find("results.png was not drawn: no row has anything that learns") != std::string::npos);
  CHECK(result.err.find("gnuplot") == std::string::npos);
  CHECK(names_in(at / "out") == std::vector<std::string>{"results.csv", "results.json"});
}
