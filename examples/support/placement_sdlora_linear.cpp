#include <sdlora/adapters/presets.hpp>

#include "selecting_entry.hpp"

namespace sdlora::examples {

PlacementEntry sdlora_linear_entry() {
  static constexpr char name[] = "sdlora-linear";
  return selecting_entry_of<presets::SDLoRALinear<>, name>(
      "LoRA on in_proj and out_proj and selected dimensions of the SSM");
}

}  // namespace sdlora::examples
