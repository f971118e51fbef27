#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry lora_ssm_entry() {
  static constexpr char name[] = "lora-ssm";
  return entry_of<presets::LoRASsm<>, name>("LoRA on the projections of the SSM");
}

}  // namespace sdlora::examples
