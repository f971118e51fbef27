#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry sdlora_entry() {
  static constexpr char name[] = "sdlora";
  return entry_of<presets::SDLoRA<>, name>("LoRA on out_proj and selected dimensions of the SSM");
}

}  // namespace sdlora::examples
