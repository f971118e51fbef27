#pragma once

#include "../../adapters/options.hpp"
#include "../../adapters/place.hpp"
#include "../../adapters/selection.hpp"
#include "../../error.hpp"
#include "../../layers/mamba/config.hpp"
#include "counts.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdlora::detail {

/// How many channels, and states of each, the types of P choose; 0 where they leave that open.
template <class P>
struct ChosenByType {
  template <class S>
  static constexpr std::size_t channels_at() {
    const std::size_t count = P::template policy_at<S>::selected_channels;
    return count == dyn ? 0 : count;
  }
  static constexpr std::size_t channels =
      std::max({channels_at<site::ALog>(), channels_at<site::XProjB>(), channels_at<site::XProjC>()});
  static constexpr std::size_t states = [] {
    using Policy = typename P::template policy_at<site::ALog>;
    if constexpr (has_selected_state<Policy>) {
      return resolved<Policy>({.states = 0}, {.name = site::ALog::name, .kind = site::ALog::kind}).states;
    }
    return std::size_t{0};
  }();
};

/// Asserts what a configuration and a placement must keep to together.
template <Config C, Placement P>
struct TypesFit {
  static constexpr bool fit = KernelSizes<C>::valid;
  static_assert(C::config.d_model == dyn || C::config.expand == dyn ||
                    ChosenByType<P>::channels <= C::config.expand * C::config.d_model,
                "sdlora::MambaModel: SelectedDimensions chooses more channels than the model has (expand * "
                "d_model); choose fewer");
  static_assert(ChosenByType<P>::states <= C::config.d_state,
                "sdlora::MambaModel: SelectedDimensions chooses more states of a channel than the model has "
                "(d_state); choose fewer");
};

/// The base of a model. Throws ArgumentError where there is none.
template <class B>
const B& required_base(const std::shared_ptr<const B>& base) {
  if (!base)
    throw ArgumentError("MambaModel: expected a base, found a null pointer; make one with load_base");
  return *base;
}

/// Throws ArgumentError where a selection is not one of a model's dimensions.
inline void require_selection(const MambaDimensions& m, const Selection& selection) {
  if (selection.layers.empty()) {
    throw ArgumentError("MambaModel: this placement selects dimensions: expected a Selection for " +
                        std::to_string(m.n_layer) +
                        " layers, found none; make one with select_dimensions on this base and pass it to "
                        "the model");
  }
  if (selection.layers.size() != m.n_layer || selection.d_inner != m.d_inner ||
      selection.d_state != m.d_state) {
    throw ArgumentError("MambaModel: expected a selection for " + std::to_string(m.n_layer) + " layers of " +
                        std::to_string(m.d_inner) + " channels and " + std::to_string(m.d_state) +
                        " states, found one for " + std::to_string(selection.layers.size()) + " layers of " +
                        std::to_string(selection.d_inner) + " and " + std::to_string(selection.d_state) +
                        "; make it with select_dimensions on this base");
  }
  selection.validate();
}

/// Throws ArgumentError where there is a selection, for a placement that has no use for it.
inline void require_no_selection(const Selection& selection) {
  if (selection.layers.empty()) return;
  // save_adapter would write it, and no model of this placement take it back.
  throw ArgumentError(
      "MambaModel: this placement selects no dimensions: expected no Selection, found one for " +
      std::to_string(selection.layers.size()) +
      " layers; leave it out, or place SelectedDimensions, as presets::SDLoRA does");
}

/// Throws ArgumentError where a layer range names another site than those, `sites`, that learn in the
/// blocks, or layers that a model does not have, where two of a site share layers, or where there are more
/// than a file holds.
inline void require_layer_ranges(const MambaDimensions& m, const std::vector<LayerRange>& ranges,
                                 std::span<const std::string_view> sites) {
  if (ranges.size() > LayerRange::most_ranges) {
    throw ArgumentError("MambaModel: expected at most " + std::to_string(LayerRange::most_ranges) +
                        " layer ranges, found " + std::to_string(ranges.size()) + "; join those that touch");
  }
  for (const LayerRange& range : ranges) {
    if (std::find(sites.begin(), sites.end(), range.site) == sites.end()) {
      throw ArgumentError("MambaModel: the layer range names site '" + range.site +
                          "', which this placement does not train in its blocks; check the site's name");
    }
    const std::size_t last = range.last == LayerRange::to_the_end ? m.n_layer : range.last;
    if (range.first >= last || last > m.n_layer) {
      throw ArgumentError("MambaModel: the layer range [" + std::to_string(range.first) + ", " +
                          std::to_string(last) + ") of site '" + range.site + "' " +
                          (last > m.n_layer ? "goes beyond the model's " : "has none of the model's ") +
                          std::to_string(m.n_layer) + " layers; name layers [first, last) of these");
    }
    for (const LayerRange& other : ranges) {
      if (&other == &range || other.site != range.site || other.first >= last || range.first >= other.last) {
        continue;
      }
      throw ArgumentError("MambaModel: layer " + std::to_string(std::max(range.first, other.first)) +
                          " is in two layer ranges of site '" + range.site +
                          "'; let them name each layer once");
    }
  }
}

/// Throws ArgumentError where a selection or an option does not fit a model of placement P.
template <Placement P>
void require_options(const MambaDimensions& m, const Selection& selection, const AdapterOptions& options) {
  P::selects ? require_selection(m, selection) : require_no_selection(selection);
  [&]<class... Sites>(SiteList<Sites...>) {
    std::array<std::string_view, sizeof...(Sites)> learning{};
    std::size_t count = 0;
    ((P::template learns_at<Sites> ? void(learning[count++] = Sites::name) : void()), ...);
    require_layer_ranges(m, options.layers, std::span(learning).first(count));
  }(MambaLayerSites{});
}

}  // namespace sdlora::detail
