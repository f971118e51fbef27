#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry lora_all_entry() {
  static constexpr char name[] = "lora-all";
  return entry_of<presets::LoRAAll<>, name>("LoRA on every linear projection");
}

}  // namespace sdlora::examples
