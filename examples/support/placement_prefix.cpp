#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry prefix_entry() {
  static constexpr char name[] = "prefix";
  return entry_of<presets::Prefix<>, name>(
      "prefix tuning: learned rows before the convolution of every block");
}

}  // namespace sdlora::examples
