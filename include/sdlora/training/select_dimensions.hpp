#pragma once

#include "../adapters/selected_dimensions.hpp"
#include "../adapters/selection.hpp"
#include "../adapters/selection_phase.hpp"
#include "../model/mamba_model.hpp"
#include "selection_options.hpp"
#include "trainer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

namespace detail {

/// Throws ArgumentError where the layer ranges let a projection learn selected channels in a layer where
/// A_log, by which they would be chosen, does not learn: the choice would mean nothing.
template <Placement P>
void require_scored_layers(const AdapterOptions& options, std::size_t n_layer) {
  const auto check = [&]<class S>(S) {
    if constexpr (selected_channels<typename P::template policy_at<S>> != 0) {
      for (std::size_t l = 0; l < n_layer; ++l) {
        if (!options.active(S::name, l) || options.active(site::ALog::name, l)) continue;
        throw ArgumentError("select_dimensions: " + std::string(S::name) +
                            " learns selected channels in layer " + std::to_string(l) +
                            ", where the layer range of A_log leaves nothing to choose them by; give "
                            "both sites the same range");
      }
    }
  };
  check(site::XProjB{});
  check(site::XProjC{});
}

/// How many channels and states the placement selects in every layer of `m`.
template <Placement P>
SelectedOptions selected_sizes(const MambaDimensions& m, const SelectionOptions& options) {
  using Policy = typename P::template policy_at<site::ALog>;
  static_assert(
      has_selected_state<Policy>,
      "sdlora::select_dimensions: dimensions are scored by A_log; place SelectedDimensions at site::ALog, "
      "as presets::SDLoRA does");
  return resolved<Policy>(options.adapters.of<typename Policy::options>(site::ALog::name),
                          site_info<site::ALog>(m));
}

/// The options of the model that the first phase trains. What could not be chosen is refused here, before the
/// training.
template <Placement P>
AdapterOptions first_phase_options(const MambaDimensions& m, const SelectionOptions& options) {
  if (options.steps == 0) {
    throw ArgumentError("select_dimensions: expected at least 1 step to score dimensions by, found 0");
  }
  const SelectedOptions sizes = selected_sizes<P>(m, options);
  require_choice("select_dimensions", sizes.channels, m.d_inner, sizes.states, m.d_state);
  require_scored_layers<P>(options.adapters, m.n_layer);
  // What is said for a site that learns in the second phase alone, or otherwise, means nothing in the first.
  AdapterOptions adapters = options.adapters;
  const auto forget = [&]<class S>(S) {
    using First = typename SelectionPhase<P>::template policy_at<S>;
    if constexpr (!First::learns) adapters.forget(S::name);
    if constexpr (First::learns && !std::is_same_v<First, typename P::template policy_at<S>>) {
      std::vector<LayerRange> ranges;
      std::copy_if(adapters.layers.begin(), adapters.layers.end(), std::back_inserter(ranges),
                   [](const LayerRange& range) { return range.site == S::name; });
      adapters.forget(S::name);
      adapters.layers.insert(adapters.layers.end(), ranges.begin(), ranges.end());
    }
  };
  forget(site::ALog{});
  forget(site::XProjB{});
  forget(site::XProjC{});
  return adapters;
}

/// The dimensions whose A_log moved the most from the base to what the first phase `learned`.
template <Placement P, SelectionScore Score, Config C, class T, class D>
Selection moved_dimensions(const Base<C, T, D>& base, const ParameterStore<T, D>& learned,
                           const SelectionOptions& options, const Score& score) {
  const MambaDimensions& m = base.dimensions();
  const SelectedOptions sizes = selected_sizes<P>(m, options);
  Selection selection{m.d_inner, m.d_state, {}};
  const HostCopy values(learned.value_row());
  std::vector<T> change(m.d_inner * m.d_state);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    std::fill(change.begin(), change.end(), T(0));
    const auto here = [&](const ParameterInfo& p) { return p.layer == l && p.site == site::ALog::name; };
    const std::vector<ParameterInfo>& entries = learned.entries();
    if (const auto entry = std::find_if(entries.begin(), entries.end(), here); entry != entries.end()) {
      const HostCopy before(base.layer(l).A_log);
      for (std::size_t i = 0; i < change.size(); ++i) {
        change[i] = values.values()[entry->offset + i] - before.values()[i];
      }
      if (std::all_of(change.begin(), change.end(), [](T moved) { return moved == T(0); })) {
        throw Error("select_dimensions: A_log of layer " + std::to_string(l) + " did not move in " +
                    std::to_string(options.steps) +
                    " steps, so that nothing tells its dimensions apart; take more steps than the warm-up "
                    "of the learning rate has, or a higher rate");
      }
    }
    selection.layers.push_back(select_layer(MatrixView<const T>(change.data(), m.d_inner, m.d_state),
                                            sizes.channels, sizes.states, score));
  }
  return selection;
}

}  // namespace detail

/// SDLoRA's first phase (Galim et al., arXiv 2410.09016, section 5.2): trains the placement's
/// SelectionPhase, in which all of A_log learns, for some steps; scores how far each A_log moved from its
/// pre-trained value; chooses per layer the best channels and in each the best states. The trained
/// values are dropped: a model made from the selection begins at the base again. Throws ArgumentError where
/// an option makes no sense, Error where A_log of a layer that learns did not move.
template <Placement P, SelectionScore Score = SquaredChange, Config C, class T, class D, class Data>
Selection select_dimensions(std::shared_ptr<const Base<C, T, D>> base, const Data& data,
                            SelectionOptions options = {}, const Score& score = {}) {
  using Model = MambaModel<C, SelectionPhase<P>, std::conditional_t<is_host<D>, T, Run<D, T>>>;
  Model model(base, detail::first_phase_options<P>(detail::required_base(base).dimensions(), options));
  Trainer trainer(model, options.trainer_options());
  trainer.fit(data);
  return detail::moved_dimensions<P>(*base, std::as_const(model).parameters(), options, score);
}

/// `select_dimensions` for a base that may still change (as it is now).
template <Placement P, SelectionScore Score = SquaredChange, Config C, class T, class D, class Data>
Selection select_dimensions(const std::shared_ptr<Base<C, T, D>>& base, const Data& data,
                            SelectionOptions options = {}, const Score& score = {}) {
  return select_dimensions<P, Score>(std::shared_ptr<const Base<C, T, D>>(base), data, std::move(options),
                                     score);
}

}  // namespace sdlora
