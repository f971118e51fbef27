#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry full_entry() {
  static constexpr char name[] = "full";
  return entry_of<presets::FullFineTune, name>("every weight");
}

}  // namespace sdlora::examples
