#include "support/placements.hpp"

#include <sdlora/adapters/describe.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;

TEST_CASE("describe: sites and policies, in one order whatever the type's") {
  CHECK(describe<Place<On<site::OutProj, LoRA<8>>, On<site::ALog, Full>>>() == "A_log=full out_proj=lora");
  CHECK(describe<Place<On<site::ALog, Full>, On<site::OutProj, LoRA<8>>>>() == "A_log=full out_proj=lora");
  CHECK(describe<presets::NothingTrains>().empty());
  CHECK(describe<presets::Prompt<>>() == "prompt=prompt_tuning");
  CHECK(describe<presets::Prefix<>>() == "prefix=prefix_tuning");
  CHECK(describe<presets::InitialState>() == "h0=full");
}

TEST_CASE("describe: static and dynamic sizes give the same text") {
  CHECK(describe<presets::SDLoRA<8, 15, 4>>() == describe<presets::SDLoRA<>>());
  CHECK(describe<presets::SDLoRA<>>() ==
        "A_log=selected_dimensions out_proj=lora x_proj_B=selected_dimensions x_proj_C=selected_dimensions");
  CHECK(describe<presets::Prompt<5>>() == describe<presets::Prompt<>>());
}

TEST_CASE("describe: presets differ") {
  const std::string all[] = {describe<presets::SDLoRA<>>(),      describe<presets::LoRALinear<>>(),
                             describe<presets::LoRASsm<>>(),     describe<presets::LoRAAll<>>(),
                             describe<presets::InitialState>(),  describe<presets::BitFit>(),
                             describe<presets::Prompt<>>(),      describe<presets::Prefix<>>(),
                             describe<presets::FullFineTune>(),  describe<presets::NothingTrains>(),
                             describe<sdlora_test::Everything>()};
  for (const std::string& a : all) {
    for (const std::string& b : all) CHECK((a == b) == (&a == &b));
  }
}
