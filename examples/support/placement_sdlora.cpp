#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/select_dimensions.hpp>

#include "model_of.hpp"

namespace sdlora::examples {

PlacementEntry sdlora_entry() {
  static constexpr char name[] = "sdlora";
  PlacementEntry entry =
      entry_of<presets::SDLoRA<>, name>("LoRA on out_proj and selected dimensions of the SSM");
  entry.select = [](AnyBasePointer base, std::span<const Example> data, const SelectionOptions& options) {
    return select_dimensions<presets::SDLoRA<>>(std::move(base), data, options);
  };
  return entry;
}

}  // namespace sdlora::examples
