#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <sdlora/io/safetensors.hpp>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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

TEST_CASE("programs: a base whose values cannot work is told from a rate that is too high") {
  const Workplace at;
  const auto path = at / "base/model.safetensors";
  std::vector<std::vector<float>> values;
  {
    const auto file = sdlora::TensorFile::open(path);
    sdlora::SafetensorsWriter writer;
    for (const std::string& name : file.names()) {
      values.push_back(file.read<float>(name));
      // exp(89) is no float.
      if (name.ends_with("A_log")) std::fill(values.back().begin(), values.back().end(), 89.0F);
    }
    std::size_t i = 0;
    for (const std::string& name : file.names()) {
      writer.add(name, sdlora::Dtype::F32, file.info(name).shape, std::span<const float>(values[i++]));
    }
    writer.save(path);
  }
  const Result result = run("sdlora finetune", at.finetune("bitfit", "out"));
  CAPTURE(result.err);
  CHECK(result.status == 1);
  CHECK(result.err.find("nothing was learned yet, so the learning rate is not the cause") !=
        std::string::npos);
  CHECK(!std::filesystem::exists(at / "out/adapter.safetensors"));
}

TEST_CASE("programs: of two runs into one folder the second is refused, and changes nothing") {
  const Workplace at;
  Arguments long_run = at.finetune("bitfit", "out");
  *(std::find(long_run.begin(), long_run.end(), "--steps") + 1) = "100000";
  long_run = with(long_run, {"--checkpoint-every", "1"});
  const test::Folder output;
  Running first("sdlora finetune", long_run, output);
  const auto checkpoint = at / "out/checkpoint/checkpoint.safetensors";
  for (int tries = 0; tries < 600 && !std::filesystem::exists(checkpoint); ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  REQUIRE(std::filesystem::exists(checkpoint));
  for (const std::string placement : {"bitfit", "sdlora"}) {
    CAPTURE(placement);
    const Result second = run("sdlora finetune", with(at.finetune(placement, "out"), {"--resume"}));
    CAPTURE(second.err);
    CHECK(second.status == 1);
    CHECK(second.err.find("sdlora finetune: " + at.at("out") + ": another run writes into this folder") !=
          std::string::npos);
  }
  CHECK(!std::filesystem::exists(at / "out/checkpoint/selection.json"));
  CHECK(first.kill());
  CHECK(sdlora::TensorFile::open(checkpoint).size() > 0);
}
