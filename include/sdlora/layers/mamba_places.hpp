#pragma once

#include "../adapters/policy.hpp"
#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "mamba_config.hpp"
#include "mamba_weights.hpp"

#include <cstddef>
#include <string>

namespace sdlora {

namespace detail {

/// Throws ShapeError unless what a policy's state at the element-wise site S shows where it learns, its
/// values and their gradient, has the site's shape and is contiguous: layers read and write it by that shape.
template <Site S, class State>
void require_element_shape(const State& state, const MambaDimensions& m, const std::string& prefix) {
  if constexpr (requires { state.values(); }) {
    if (!state.active()) return;
    const SiteShape expected = site_shape<S>(m);
    const auto check = [&](const auto& found, const char* what) {
      if (found && found.rows == expected.rows && found.cols == expected.cols && found.contiguous()) return;
      throw ShapeError(prefix + std::string(S::name) + ": expected values and a gradient " +
                       extents_text(expected.rows, expected.cols) + ", found " + what + " " +
                       extents_text(found.rows, found.cols) +
                       (found.contiguous() ? "" : " with gaps between rows") +
                       "; correct what the policy's state returns");
    };
    check(state.values(), "values");
    check(state.gradient(), "a gradient");
  }
}

}  // namespace detail

/// Tells the policies of one block's sites where they sit.
template <class T>
struct MambaPlaces {
  const MambaWeights<const T>& weights;
  const MambaDimensions& dimensions;
  std::size_t layer;
  const AdapterOptions& options;
  const LayerSelection* selection;  ///< null where the placement selects nothing

  /// Throws ShapeError unless the state at an element-wise site is of the site's shape.
  template <Site S, class State>
  void require_shape(const State& state) const {
    detail::require_element_shape<S>(state, dimensions, "layers." + std::to_string(layer) + ".");
  }

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
