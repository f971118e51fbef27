#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry initial_state_entry() {
  static constexpr char name[] = "initial-state";
  return entry_of<presets::InitialState, name>("the initial state of every SSM");
}

}  // namespace sdlora::examples
