#include <sdlora/adapters/presets.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry bitfit_entry() {
  static constexpr char name[] = "bitfit";
  return entry_of<presets::BitFit, name>("the biases of the convolution and of dt");
}

}  // namespace sdlora::examples
