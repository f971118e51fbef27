#include <sdlora/adapters/place.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry lora_out_entry() {
  static constexpr char name[] = "lora-out";
  return entry_of<Place<On<site::OutProj, LoRA<>>>, name>(
      "LoRA on out_proj alone: SDLoRA less its dimensions");
}

}  // namespace sdlora::examples
