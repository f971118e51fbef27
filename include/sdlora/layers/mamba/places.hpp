#pragma once

#include "../../adapters/policy.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../detail/site_shape.hpp"
#include "config.hpp"
#include "tensors.hpp"
#include "weights.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace sdlora {

namespace detail {

/// As require_site_shape, for all that a state at the element-wise site S shows where it learns, its values
/// and their gradient: layers read and write them by the site's shape.
template <Site S, class State>
void require_element_shape(const State& state, const MambaDimensions& m, std::size_t layer = no_layer) {
  if constexpr (requires { state.values(); }) {
    if (!state.active()) return;
    using View = std::remove_cvref_t<decltype(state.values())>;
    using T = typename View::value_type;
    using D = typename View::device_type;
    const SiteShape expected = site_shape<S>(m);
    require_site_shape<T, D>(state.values(), "values", expected, S::name, layer);
    require_site_shape<T, D>(state.gradient(), "a gradient", expected, S::name, layer);
  }
}

}  // namespace detail

/// Tells the policies of one block's sites where they sit.
template <class T, class D = Cpu>
struct MambaPlaces {
  const MambaWeights<const T, D>& weights;
  const MambaDimensions& dimensions;
  std::size_t layer;
  const AdapterOptions& options;
  const LayerSelection* selection;  ///< null where the placement selects nothing

  /// Throws ShapeError unless the state at an element-wise site is of the site's shape.
  template <Site S, class State>
  void require_shape(const State& state) const {
    detail::require_element_shape<S>(state, dimensions, layer);
  }

  /// What the state at site S is told.
  template <Site S>
  SitePlace<T, D> at() const {
    return {.name = "layers." + std::to_string(layer) + "." + std::string(S::name),
            .site = site_info<S>(dimensions),
            .layer = layer,
            .active = options.active(S::name, layer),
            .base = base_of<S>(),
            .decay = site_decays<S>,
            .options = &options,
            .selection = selection};
  }

 private:
  template <Site S>
  FrozenWeight<T, D> base_of() const {
    if constexpr (std::is_same_v<S, site::Scan>) {
      return weights.A_log;
    } else {
      return site_values<S>(weights, dimensions);
    }
  }
};

}  // namespace sdlora
