#pragma once

#include "../adapters/policy.hpp"
#include "mamba_config.hpp"
#include "mamba_weights.hpp"

#include <cstddef>
#include <string>

namespace sdlora {

/// Tells the policies of one block's sites where they sit.
template <class T>
struct MambaPlaces {
  const MambaWeights<const T>& weights;
  const MambaDimensions& dimensions;
  std::size_t layer;
  const AdapterOptions& options;
  const LayerSelection* selection;  ///< null where the placement selects nothing

  /// What the state at site S is told; `base` are the site's own pre-trained values.
  template <Site S>
  SitePlace<T> at(MatrixView<const T> base, bool decay) const {
    return {.name = "layers." + std::to_string(layer) + "." + std::string(S::name),
            .site = S::name,
            .layer = layer,
            .active = options.active(S::name, layer),
            .base = base,
            .shape = site_shape<S>(dimensions),
            .decay = decay,
            .options = &options,
            .sizes = adapter_sizes(options, dimensions),
            .selection = selection};
  }
};

}  // namespace sdlora
