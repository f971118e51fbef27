#pragma once

#include <sdlora/training/select_dimensions.hpp>
#include <span>
#include <utility>

#include "model_of.hpp"

namespace sdlora::examples {

/// `entry_of` for a preset with selected dimensions.
template <class P, const char* Name>
PlacementEntry selecting_entry_of(const char* description) {
  PlacementEntry entry = entry_of<P, Name>(description);
  entry.select = [](AnyBasePointer base, std::span<const Example> data, const SelectionOptions& options) {
    return select_dimensions<P>(std::move(base), data, options);
  };
  return entry;
}

}  // namespace sdlora::examples
