#pragma once

#include "../adapters/selected_dimensions.hpp"
#include "../adapters/selection.hpp"
#include "../adapters/selection_phase.hpp"
#include "../model/mamba_model.hpp"
#include "dimension_scores.hpp"
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
  if (trains_first(options.criterion) && options.steps == 0 && options.epochs == 0) {
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
template <SelectionScore Score, Config C, class T, class D>
Selection moved_dimensions(const Base<C, T, D>& base, const ParameterStore<T, D>& learned,
                           const SelectionOptions& options, const SelectedOptions& sizes,
                           const Score& score) {
  const MambaDimensions& m = base.dimensions();
  Selection selection{m.d_inner, m.d_state, {}};
  const HostCopy values(learned.value_row());
  std::vector<T> change(m.d_inner * m.d_state);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    std::fill(change.begin(), change.end(), T(0));
    if (const ParameterInfo* const entry = a_log_of(learned, l); entry != nullptr) {
      const HostCopy before(base.layer(l).A_log);
      for (std::size_t i = 0; i < change.size(); ++i) {
        change[i] = values.values()[entry->offset + i] - before.values()[i];
      }
      if (std::all_of(change.begin(), change.end(), [](T moved) { return moved == T(0); })) {
        const std::string time = options.steps != 0 ? std::to_string(options.steps) + " steps"
                                                    : std::to_string(options.epochs) + " epochs";
        throw Error("select_dimensions: A_log of layer " + std::to_string(l) + " did not move in " + time +
                    ", so that nothing tells its dimensions apart; take more steps than the warm-up "
                    "of the learning rate has, or a higher rate");
      }
    }
    selection.layers.push_back(select_layer(MatrixView<const T>(change.data(), m.d_inner, m.d_state),
                                            sizes.channels, sizes.states, score));
  }
  return selection;
}

/// The dimensions of the best scores.
inline Selection best_dimensions(const MambaDimensions& m, const DimensionScores& scores,
                                 const SelectionOptions& options, const SelectedOptions& sizes) {
  Selection selection{m.d_inner, m.d_state, {}};
  const std::vector<double> none(m.d_inner * m.d_state, 0.0);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    const std::vector<double>& here = scores[l].empty() ? none : scores[l];
    if (&here != &none && std::all_of(here.begin(), here.end(), [](double score) { return score == 0.0; })) {
      throw Error("select_dimensions: every dimension of layer " + std::to_string(l) +
                  " has the score 0 by " + std::string(selection_criterion_name(options.criterion)) +
                  ", so that nothing tells them apart; give data whose loss depends on that layer");
    }
    selection.layers.push_back(select_layer(MatrixView<const double>(here.data(), m.d_inner, m.d_state),
                                            sizes.channels, sizes.states,
                                            [](double score) { return score; }));
  }
  return selection;
}

/// The selection by a fresh model of the first phase.
template <SelectionScore Score, class Model, Config C, class T, class D, class Data>
Selection dimensions_by(Model& model, const Base<C, T, D>& base, const Data& data,
                        const SelectionOptions& options, const SelectedOptions& sizes, const Score& score) {
  if (trains_first(options.criterion)) {
    Trainer trainer(model, options.trainer_options());
    trainer.fit(data);
  } else {
    require_settings(options, "select_dimensions");
  }
  if (options.criterion == SelectionCriterion::Change) {
    return moved_dimensions(base, std::as_const(model).parameters(), options, sizes, score);
  }
  if (options.criterion == SelectionCriterion::Ablation) {
    return ablated_dimensions(model, examples_of(data), options, sizes.channels, sizes.states);
  }
  return best_dimensions(base.dimensions(), dimension_scores(model, data, options), options, sizes);
}

}  // namespace detail

/// SDLoRA's first phase (Galim et al., arXiv 2410.09016, section 5.2): trains the placement's
/// SelectionPhase, in which all of A_log learns, for some steps; scores how far each A_log moved from its
/// pre-trained value; chooses per layer the best channels and in each the best states. The trained
/// values are dropped: a model made from the selection begins at the base again. Other criteria than Change
/// score otherwise, most of them without training; `score` is Change's alone. Throws ArgumentError where
/// an option makes no sense, Error where A_log of a layer that learns did not move or all its scores are 0.
template <Placement P, SelectionScore Score = SquaredChange, Config C, class T, class D, class Data>
Selection select_dimensions(std::shared_ptr<const Base<C, T, D>> base, const Data& data,
                            SelectionOptions options = {}, const Score& score = {}) {
  using Model = MambaModel<C, SelectionPhase<P>, std::conditional_t<is_host<D>, T, Run<D, T>>>;
  const MambaDimensions& m = detail::required_base(base).dimensions();
  Model model(base, detail::first_phase_options<P>(m, options));
  return detail::dimensions_by(model, *base, data, options, detail::selected_sizes<P>(m, options), score);
}

/// `select_dimensions` for a base that may still change (as it is now).
template <Placement P, SelectionScore Score = SquaredChange, Config C, class T, class D, class Data>
Selection select_dimensions(const std::shared_ptr<Base<C, T, D>>& base, const Data& data,
                            SelectionOptions options = {}, const Score& score = {}) {
  return select_dimensions<P, Score>(std::shared_ptr<const Base<C, T, D>>(base), data, std::move(options),
                                     score);
}

}  // namespace sdlora
