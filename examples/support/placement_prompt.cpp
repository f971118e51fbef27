#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry prompt_entry() {
  static constexpr char name[] = "prompt";
  return entry_of<presets::Prompt<>, name>("prompt tuning: learned embeddings before the sequence");
}

}  // namespace sdlora::examples
