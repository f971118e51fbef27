#include "support.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <utility>

using namespace programs;

TEST_CASE("programs: settings that make no sense are named as the user gave them, before anything is read") {
  const Workplace at;
  for (const auto& [flag, value] : {std::pair{"--batch-size", "0"},
                                    {"--accumulation", "0"},
                                    {"--learning-rate", "inf"},
                                    {"--clip", "-1"},
                                    {"--weight-decay", "nan"},
                                    {"--beta1", "1"}}) {
    check_fails("sdlora finetune",
                {"--model", "absent", "--data", "absent", "--out", at.at("out"), flag, value},
                {std::string("sdlora finetune: ") + flag + ": expected ", value});
  }
  CHECK(!std::filesystem::exists(at / "out"));
  // Nor is anything else by the types of the library.
  Arguments columns = with(at.finetune("bitfit", "out"), {"--text-column", "a", "--prompt-column", "b"});
  check_fails("sdlora finetune", columns, {"sdlora finetune: expected the columns"});
  check_fails("sdlora score", {"--model", at.at("base"), "--ids", "1,264"}, {"sdlora score: token 1 is 264"});
}

TEST_CASE("programs: where a checkpoint is damaged, the way to begin anew is said") {
  const Workplace at;
  Arguments arguments = with(at.finetune("bitfit", "out"), {"--checkpoint-every", "2", "--resume"});
  run_well("sdlora finetune", arguments);
  at.write("out/checkpoint/checkpoint.safetensors", "junk");
  const Result result = run("sdlora finetune", arguments);
  CAPTURE(result.err);
  CHECK(result.status == 1);
  CHECK(result.err.find("sdlora finetune: " + at.at("out/checkpoint/checkpoint.safetensors") + ": byte 0") !=
        std::string::npos);
  CHECK(result.err.find("to begin anew, remove " + at.at("out/checkpoint") + " and leave --resume out") !=
        std::string::npos);
}

TEST_CASE("programs: a run on a full disk says how it goes on") {
  const Workplace at;
  // No file may grow beyond some blocks, as metrics.jsonl does once there are checkpoints.
  std::string line = "trap '' XFSZ; ulimit -f 20; exec " + path_of("sdlora") + " finetune";
  for (const std::string& argument : at.finetune("bitfit", "out")) line += " '" + argument + "'";
  line.replace(line.find("'--steps' '3'"), 13, "'--steps' '900'");
  line += " --checkpoint-every 1 2>'" + at.at("err") + "'";
  const int status = std::system(("sh -c \"" + line + "\"").c_str());
  const std::string err = test::content(at / "err");
  CAPTURE(err);
  CHECK(status != 0);
  CHECK(err.find("the free space; then the same command with --resume goes on") != std::string::npos);
}
