#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry lora_linear_entry() {
  static constexpr char name[] = "lora-linear";
  return entry_of<presets::LoRALinear<>, name>("LoRA on in_proj and out_proj");
}

}  // namespace sdlora::examples
