#pragma once

#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/model_choices.hpp>

#include <string_view>

// A program's own list of placements.
namespace sdlora_test {
namespace choices {

struct Nothing {
  static constexpr std::string_view name = "nothing";
  static constexpr std::string_view description = "the base as it is";
  using placement = sdlora::presets::NothingTrains;
};
struct Biases {
  static constexpr std::string_view name = "biases";
  static constexpr std::string_view description = "every bias";
  using placement = sdlora::presets::BitFit;
};
struct Selected {
  static constexpr std::string_view name = "selected";
  static constexpr std::string_view description = "SDLoRA";
  using placement = sdlora::presets::SDLoRA<>;
};
struct Prompt {
  static constexpr std::string_view name = "prompt";
  static constexpr std::string_view description = "rows before the sequence";
  using placement = sdlora::presets::Prompt<>;
};

}  // namespace choices

using Choices = sdlora::ModelChoices<choices::Nothing, choices::Biases, choices::Selected, choices::Prompt>;

}  // namespace sdlora_test

namespace sdlora {

extern template struct ModelMaker<sdlora_test::choices::Nothing>;
extern template struct ModelMaker<sdlora_test::choices::Biases>;
extern template struct ModelMaker<sdlora_test::choices::Selected>;
extern template struct ModelMaker<sdlora_test::choices::Prompt>;

}  // namespace sdlora
