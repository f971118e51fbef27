#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry frozen_entry() {
  static constexpr char name[] = "frozen";
  return entry_of<presets::NothingTrains, name>("the checkpoint as it is");
}

}  // namespace sdlora::examples
