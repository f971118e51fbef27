// Every preset's gradients against finite differences.
#include "support/gradient_check.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/adapters/selection_phase.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("gradients: SDLoRALinear") { check_placement_gradients<presets::SDLoRALinear<2, 3, 2>>(); }
TEST_CASE("gradients: SDLoRA") { check_placement_gradients<presets::SDLoRA<2, 3, 2>>(); }
TEST_CASE("gradients: LoRA on the linear projections") {
  check_placement_gradients<presets::LoRALinear<2>>();
}
TEST_CASE("gradients: LoRA on the SSM") { check_placement_gradients<presets::LoRASsm<2>>(); }
TEST_CASE("gradients: LoRA where peft takes it") { check_placement_gradients<presets::LoRAPeft<2>>(); }
TEST_CASE("gradients: LoRA everywhere") { check_placement_gradients<presets::LoRAAll<2>>(); }
TEST_CASE("gradients: rsLoRA on the linear projections") {
  check_placement_gradients<presets::RsLoRALinear<2>>();
}
TEST_CASE("gradients: DoRA on the linear projections") {
  check_placement_gradients<presets::DoRALinear<2>>();
}
TEST_CASE("gradients: VeRA on the linear projections") {
  check_placement_gradients<presets::VeRALinear<2>>();
}
TEST_CASE("gradients: IA3 on every projection") { check_placement_gradients<presets::IA3All>(); }
TEST_CASE("gradients: state-offset tuning") { check_placement_gradients<presets::StateOffsetTuning>(); }
TEST_CASE("gradients: initial state") { check_placement_gradients<presets::InitialState>(); }
TEST_CASE("gradients: BitFit") { check_placement_gradients<presets::BitFit>(); }
TEST_CASE("gradients: prompt") { check_placement_gradients<presets::Prompt<3>>(); }
TEST_CASE("gradients: prefix") { check_placement_gradients<presets::Prefix<3>>(); }
TEST_CASE("gradients: full fine-tuning") { check_placement_gradients<presets::FullFineTune>(); }
TEST_CASE("gradients: the selection phase of SDLoRA") {
  check_placement_gradients<SelectionPhase<presets::SDLoRA<2, 3, 2>>>();
}
