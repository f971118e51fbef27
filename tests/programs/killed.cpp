#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <sdlora/io/adapter.hpp>
#include <sdlora/training/selection_file.hpp>
#include <thread>

using namespace programs;

namespace {

/// Whatever stands under a final name is whole.
void check_whole(const std::filesystem::path& out) {
  if (std::filesystem::exists(out / "adapter.safetensors")) {
    CHECK(sdlora::read_adapter_description(out).dimensions.d_model == 12);
  }
  if (std::filesystem::exists(out / "checkpoint/checkpoint.safetensors")) {
    CHECK(sdlora::TensorFile::open(out / "checkpoint/checkpoint.safetensors").size() > 0);
  }
  if (std::filesystem::exists(out / "checkpoint/selection.json")) {
    CHECK(sdlora::read_selection(out / "checkpoint/selection.json", 24, 16).layers.size() == 2);
  }
}

/// The steps of a metrics log, in its order.
std::vector<std::uint64_t> steps_of(const std::filesystem::path& log) {
  std::vector<std::uint64_t> steps;
  std::istringstream lines(test::content(log));
  for (std::string line; std::getline(lines, line);) steps.push_back(nlohmann::json::parse(line).at("step"));
  return steps;
}

}  // namespace

TEST_CASE("programs: finetune, killed at any moment, resumes to the same bits") {
  const Workplace at;
  std::mt19937 random(20);
  for (const std::string placement :
       {"sdlora", "lora-all", "rslora-linear", "dora-linear", "vera-linear", "ia3", "state-offset"}) {
    CAPTURE(placement);
    const auto arguments = [&](const std::string& out) {
      Arguments all = at.finetune(placement, out);
      for (std::size_t i = 0; i < all.size(); i += 2) {
        if (all[i] == "--steps") all[i + 1] = "40";
        if (all[i] == "--selection-steps") all[i + 1] = "10";
      }
      return with(all, {"--checkpoint-every", "3", "--dropout", "0.1"});
    };
    const auto start = std::chrono::steady_clock::now();
    run_well("sdlora finetune", arguments("whole-" + placement));
    const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;

    const std::string out = "killed-" + placement;
    int killed = 0;
    for (int attempt = 0; attempt < 12 && killed < 6; ++attempt) {
      const test::Folder output;
      Running running("sdlora finetune", with(arguments(out), {"--resume"}), output);
      std::this_thread::sleep_for(whole * std::uniform_real_distribution(0.02, 0.5)(random));
      killed += running.kill() ? 1 : 0;
      check_whole(at / out);
    }
    CHECK(killed > 0);
    run_well("sdlora finetune", with(arguments(out), {"--resume"}));
    CHECK(test::content(at / out / "adapter.safetensors") ==
          test::content(at / ("whole-" + placement) / "adapter.safetensors"));
    CHECK(steps_of(at / out / "metrics.jsonl") == steps_of(at / ("whole-" + placement) / "metrics.jsonl"));
    check_whole(at / out);
    CHECK(names_in(at / out) ==
          std::vector<std::string>{"adapter.safetensors", "checkpoint", "metrics.jsonl"});
  }
}
