#pragma once

#include <filesystem>
#include <memory>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/training/model_choices.hpp>
#include <span>

#include "instances.hpp"
#include "placement_names.hpp"

namespace sdlora::examples {

using Placements =
    ModelChoices<placements::Frozen, placements::Prompt, placements::Prefix, placements::InitialState,
                 placements::StateOffset, placements::BitFit, placements::LoraSsm, placements::LoraLinear,
                 placements::RsLoraLinear, placements::DoraLinear, placements::PissaLinear,
                 placements::Prodial, placements::VeraLinear, placements::Ia3, placements::LoraAll,
                 placements::LoraOut, placements::LoraPeft, placements::Sdlora, placements::SdloraLinear,
                 placements::Sdt, placements::SdtDora, placements::Full>;
/// A base of any size, in float.
using AnyBase = Placements::base_type;
using AnyBasePointer = Placements::base_pointer;

}  // namespace sdlora::examples

namespace sdlora {

// What reads files is compiled once for all programs, too (instances.cpp).
extern template std::unique_ptr<AnyModel<>> load_chosen_adapter(std::span<const ModelChoice<AnyModel<>>>,
                                                                examples::AnyBasePointer,
                                                                const std::filesystem::path&,
                                                                BaseFingerprint);
extern template std::shared_ptr<const examples::AnyBase> load_base<presets::AnyMamba, float, Cpu>(
    const std::filesystem::path&, const LoadBaseOptions&);

}  // namespace sdlora
