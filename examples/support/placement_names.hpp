#pragma once

#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/any_model.hpp>
#include <string_view>

// The placements that the programs' command lines know. Each is compiled once for all programs, in a source
// file of its own (placement_*.cpp).

namespace sdlora::examples {
namespace placements {

struct Frozen {
  static constexpr std::string_view name = "frozen";
  static constexpr std::string_view description = "the checkpoint as it is";
  using placement = presets::NothingTrains;
};
struct Prompt {
  static constexpr std::string_view name = "prompt";
  static constexpr std::string_view description = "prompt tuning: learned embeddings before the sequence";
  using placement = presets::Prompt<>;
};
struct Prefix {
  static constexpr std::string_view name = "prefix";
  static constexpr std::string_view description =
      "prefix tuning: learned rows before the convolution of every block";
  using placement = presets::Prefix<>;
};
struct InitialState {
  static constexpr std::string_view name = "initial-state";
  static constexpr std::string_view description = "the initial state of every SSM";
  using placement = presets::InitialState;
};
struct StateOffset {
  static constexpr std::string_view name = "state-offset";
  static constexpr std::string_view description =
      "state-offset tuning: an offset of every SSM's state, for all tokens";
  using placement = presets::StateOffsetTuning;
};
struct BitFit {
  static constexpr std::string_view name = "bitfit";
  static constexpr std::string_view description = "the biases of the convolution and of dt";
  using placement = presets::BitFit;
};
struct LoraSsm {
  static constexpr std::string_view name = "lora-ssm";
  static constexpr std::string_view description = "LoRA on the projections of the SSM";
  using placement = presets::LoRASsm<>;
};
struct LoraLinear {
  static constexpr std::string_view name = "lora-linear";
  static constexpr std::string_view description = "LoRA on in_proj and out_proj";
  using placement = presets::LoRALinear<>;
};
struct RsLoraLinear {
  static constexpr std::string_view name = "rslora-linear";
  static constexpr std::string_view description = "rsLoRA on in_proj and out_proj";
  using placement = presets::RsLoRALinear<>;
};
struct DoraLinear {
  static constexpr std::string_view name = "dora-linear";
  static constexpr std::string_view description = "DoRA on in_proj and out_proj";
  using placement = presets::DoRALinear<>;
};
struct PissaLinear {
  static constexpr std::string_view name = "pissa-linear";
  static constexpr std::string_view description = "PiSSA on in_proj and out_proj";
  using placement = presets::PiSSALinear<>;
};
struct Prodial {
  static constexpr std::string_view name = "prodial";
  static constexpr std::string_view description =
      "ProDiaL on in_proj and out_proj: scales, diagonal blocks and a low rank";
  using placement = presets::ProDiaLLinear<>;
};
struct VeraLinear {
  static constexpr std::string_view name = "vera-linear";
  static constexpr std::string_view description = "VeRA on in_proj and out_proj";
  using placement = presets::VeRALinear<>;
};
struct Ia3 {
  static constexpr std::string_view name = "ia3";
  static constexpr std::string_view description =
      "(IA)³: a factor for each output of every linear projection";
  using placement = presets::IA3All;
};
struct LoraPeft {
  static constexpr std::string_view name = "lora-peft";
  static constexpr std::string_view description = "LoRA where peft can load it: in_proj, x_proj and A_log";
  using placement = presets::LoRAPeft<>;
};
struct LoraAll {
  static constexpr std::string_view name = "lora-all";
  static constexpr std::string_view description = "LoRA on every linear projection";
  using placement = presets::LoRAAll<>;
};
struct LoraOut {
  static constexpr std::string_view name = "lora-out";
  static constexpr std::string_view description = "LoRA on out_proj alone: SDLoRA less its dimensions";
  using placement = Place<On<site::OutProj, LoRA<>>>;
};
struct Sdlora {
  static constexpr std::string_view name = "sdlora";
  static constexpr std::string_view description = "LoRA on out_proj and selected dimensions of the SSM";
  using placement = presets::SDLoRA<>;
};
struct SdloraLinear {
  static constexpr std::string_view name = "sdlora-linear";
  static constexpr std::string_view description =
      "LoRA on in_proj and out_proj and selected dimensions of the SSM";
  using placement = presets::SDLoRALinear<>;
};
struct Sdt {
  static constexpr std::string_view name = "sdt";
  static constexpr std::string_view description =
      "as sdlora-linear, whose whole SSM learns before dimensions are ranked";
  using placement = presets::SDT<>;
};
struct SdtDora {
  static constexpr std::string_view name = "sdt-dora";
  static constexpr std::string_view description = "the same with DoRA on in_proj and out_proj";
  using placement = presets::SDTDoRA<>;
};
struct Full {
  static constexpr std::string_view name = "full";
  static constexpr std::string_view description = "every weight";
  using placement = presets::FullFineTune;
};

}  // namespace placements

}  // namespace sdlora::examples

namespace sdlora {

extern template struct ModelMaker<examples::placements::Frozen>;
extern template struct ModelMaker<examples::placements::Prompt>;
extern template struct ModelMaker<examples::placements::Prefix>;
extern template struct ModelMaker<examples::placements::InitialState>;
extern template struct ModelMaker<examples::placements::StateOffset>;
extern template struct ModelMaker<examples::placements::BitFit>;
extern template struct ModelMaker<examples::placements::LoraSsm>;
extern template struct ModelMaker<examples::placements::LoraLinear>;
extern template struct ModelMaker<examples::placements::RsLoraLinear>;
extern template struct ModelMaker<examples::placements::DoraLinear>;
extern template struct ModelMaker<examples::placements::PissaLinear>;
extern template struct ModelMaker<examples::placements::Prodial>;
extern template struct ModelMaker<examples::placements::VeraLinear>;
extern template struct ModelMaker<examples::placements::Ia3>;
extern template struct ModelMaker<examples::placements::LoraAll>;
extern template struct ModelMaker<examples::placements::LoraOut>;
extern template struct ModelMaker<examples::placements::LoraPeft>;
extern template struct ModelMaker<examples::placements::Sdlora>;
extern template struct ModelMaker<examples::placements::SdloraLinear>;
extern template struct ModelMaker<examples::placements::Sdt>;
extern template struct ModelMaker<examples::placements::SdtDora>;
extern template struct ModelMaker<examples::placements::Full>;

}  // namespace sdlora
