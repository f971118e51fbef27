#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/select_dimensions.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry sdlora_linear_entry() {
  static constexpr char name[] = "sdlora-linear";
  PlacementEntry entry = entry_of<presets::SDLoRALinear<>, name>(
      "LoRA on in_proj and out_proj and selected dimensions of the SSM");
  entry.select = [](AnyBasePointer base, std::span<const Example> data, const SelectionOptions& options) {
    return select_dimensions<presets::SDLoRALinear<>>(std::move(base), data, options);
  };
  return entry;
}

}  // namespace sdlora::examples
