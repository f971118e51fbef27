#pragma once

#include <sdlora/adapters/presets.hpp>

namespace sdlora_test {

/// Every kind of policy at once; the prefix passes its gradients through all of the block's adapters.
struct Everything
    : sdlora::Place<
          sdlora::On<sdlora::site::InProjX, sdlora::LoRA<>>, sdlora::On<sdlora::site::InProjZ, sdlora::Full>,
          sdlora::On<sdlora::site::XProjDt, sdlora::LoRA<1>>,
          sdlora::On<sdlora::site::XProjB, sdlora::SelectedDimensions<>>,
          sdlora::On<sdlora::site::XProjC, sdlora::SelectedDimensions<>>,
          sdlora::On<sdlora::site::DtProj, sdlora::LoRA<2>>, sdlora::On<sdlora::site::DtBias, sdlora::Full>,
          sdlora::On<sdlora::site::Conv1d, sdlora::Full>, sdlora::On<sdlora::site::ConvBias, sdlora::Full>,
          sdlora::On<sdlora::site::ALog, sdlora::SelectedDimensions<>>,
          sdlora::On<sdlora::site::D, sdlora::Full>, sdlora::On<sdlora::site::OutProj, sdlora::LoRA<>>,
          sdlora::On<sdlora::site::Norm, sdlora::Full>, sdlora::On<sdlora::site::NormF, sdlora::Full>,
          sdlora::On<sdlora::site::Embedding, sdlora::Full>, sdlora::On<sdlora::site::H0, sdlora::Full>,
          sdlora::On<sdlora::site::Prompt, sdlora::PromptTuning<>>,
          sdlora::On<sdlora::site::Prefix, sdlora::PrefixTuning<>>> {};

}  // namespace sdlora_test
