#include <sdlora/adapters/presets.hpp>

#include "selecting_entry.hpp"

namespace sdlora::examples {

PlacementEntry sdlora_entry() {
  static constexpr char name[] = "sdlora";
  return selecting_entry_of<presets::SDLoRA<>, name>("LoRA on out_proj and selected dimensions of the SSM");
}

}  // namespace sdlora::examples
