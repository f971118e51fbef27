#pragma once

#include "../adapters/parameter_store.hpp"
#include "../adapters/policy.hpp"
#include "../adapters/selection.hpp"
#include "../adapters/site.hpp"
#include "../error.hpp"
#include "../layers/mamba/dimensions.hpp"
#include "../model/batch.hpp"
#include "../model/example.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/random.hpp"
#include "selection_options.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// A score for each (channel, state) of A_log, (E, N), for each layer; empty where A_log does not learn.
using DimensionScores = std::vector<std::vector<double>>;

namespace detail {

/// The parameter that is all of A_log in layer `l`, or null.
template <class T, class D>
const ParameterInfo* a_log_of(const ParameterStore<T, D>& store, std::size_t l) {
  for (const ParameterInfo& each : store.entries()) {
    if (each.layer == l && each.site == site::ALog::name) return &each;
  }
  return nullptr;
}

/// The examples in the order of a run's first epoch, some at a time.
class FirstPass {
 public:
  FirstPass(std::span<const Example> examples, std::uint64_t seed) : examples_(examples) {
    if (examples.empty()) {
      throw ArgumentError("select_dimensions: expected examples to score dimensions by, found none");
    }
    for (std::size_t i = 0; i < examples.size(); ++i) order_.push_back(static_cast<std::uint32_t>(i));
    RandomStream(seed, 0).shuffle(order_.data(), order_.size());
  }
  bool ended() const { return next_ == order_.size(); }
  Batch take(std::size_t count) {
    Batch batch;
    for (; count > 0 && !ended(); --count) batch.add(examples_[order_[next_++]]);
    return batch;
  }

 private:
  std::span<const Example> examples_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;
};

/// One score from the mean gradient and the mean of its square, at a value of A_log.
inline double gradient_score(SelectionCriterion criterion, double mean, double mean_square, double a_log) {
  switch (criterion) {
    case SelectionCriterion::GradientWeight:
      return std::abs(mean * a_log);
    case SelectionCriterion::Fisher:
      return mean_square;
    case SelectionCriterion::Gain:
      return mean_square == 0.0 ? 0.0 : mean * mean / std::sqrt(mean_square);
    default:
      return std::abs(mean);
  }
}

/// Scores by gradients over one pass, of at most `steps` batches where that is not 0.
template <class Model>
DimensionScores gradient_scores(Model& model, std::span<const Example> examples,
                                const SelectionOptions& options) {
  auto& store = model.parameters();
  const std::size_t layers = model.dimensions().n_layer;
  std::vector<const ParameterInfo*> where;
  DimensionScores sums(layers), squares(layers);
  for (std::size_t l = 0; l < layers; ++l) {
    where.push_back(a_log_of(store, l));
    if (where[l] == nullptr) continue;
    sums[l].assign(where[l]->size(), 0.0);
    squares[l].assign(where[l]->size(), 0.0);
  }
  FirstPass pass(examples, options.seed);
  std::size_t batches = 0;
  while (!pass.ended() && (options.steps == 0 || batches < options.steps)) {
    const Batch batch = pass.take(options.batch_size);
    if (batch.loss_tokens() == 0) continue;
    ++batches;
    store.zero_gradients();
    model.accumulate_gradients(batch, 1.0 / static_cast<double>(batch.loss_tokens()), Pass{});
    const auto gradients = store.host_gradients();
    for (std::size_t l = 0; l < layers; ++l) {
      for (std::size_t i = 0; i < sums[l].size(); ++i) {
        const auto g = static_cast<double>(gradients[where[l]->offset + i]);
        sums[l][i] += g;
        squares[l][i] += g * g;
      }
    }
  }
  store.zero_gradients();
  const auto count = static_cast<double>(std::max<std::size_t>(1, batches));
  const auto values = store.host_values();
  for (std::size_t l = 0; l < layers; ++l) {
    for (std::size_t i = 0; i < sums[l].size(); ++i) {
      const auto a_log = static_cast<double>(values[where[l]->offset + i]);
      sums[l][i] = gradient_score(options.criterion, sums[l][i] / count, squares[l][i] / count, a_log);
    }
  }
  return sums;
}

/// Scores by values alone: Decay's of what was learned, Magnitude's of what A_log is.
template <class Model>
DimensionScores value_scores(Model& model, SelectionCriterion criterion) {
  const auto& store = std::as_const(model).parameters();
  const std::size_t states = model.dimensions().d_state;
  const auto values = store.host_values();
  DimensionScores scores(model.dimensions().n_layer);
  for (std::size_t l = 0; l < scores.size(); ++l) {
    const ParameterInfo* const where = a_log_of(store, l);
    if (where == nullptr) continue;
    const HostCopy dt_bias(model.base()->layer(l).dt_bias);
    for (std::size_t i = 0; i < where->size(); ++i) {
      const double a = std::exp(static_cast<double>(values[where->offset + i]));
      const auto bias = static_cast<double>(dt_bias.values()[i / states]);
      const double dt = std::max(bias, 0.0) + std::log1p(std::exp(-std::abs(bias)));  // softplus
      scores[l].push_back(criterion == SelectionCriterion::Magnitude ? a : std::exp(-2.0 * dt * a));
    }
  }
  return scores;
}

/// What the loss on a step's examples rises by where dimensions of A_log lose their memory. It calls the
/// model once for each channel and for each state of the chosen channels, in each layer.
template <class Model>
Selection ablated_dimensions(Model& model, std::span<const Example> examples, const SelectionOptions& options,
                             std::size_t channels, std::size_t states) {
  constexpr double no_memory = 10.0;  // exp(−dt·e¹⁰) is nothing at any dt that models have
  auto& store = model.parameters();
  const MambaDimensions& m = model.dimensions();
  const Batch batch = FirstPass(examples, options.seed).take(options.batch_size * options.accumulation);
  const auto before = store.host_values();
  auto values = before;
  const double usual = model.loss(batch).sum;
  const auto rise = [&](std::size_t first, std::size_t count) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(first), count,
                static_cast<typename Model::value_type>(no_memory));
    store.set_values(values);
    const double sum = model.loss(batch).sum;
    std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(first), count,
                values.begin() + static_cast<std::ptrdiff_t>(first));
    return sum - usual;
  };
  Selection selection{m.d_inner, m.d_state, {}};
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    const ParameterInfo* const where = a_log_of(store, l);
    std::vector<double> of_channel(m.d_inner, 0.0), of_state(m.d_state, 0.0);
    const auto first = [&](std::size_t c) { return where->offset + c * m.d_state; };
    if (where != nullptr) {
      for (std::size_t c = 0; c < m.d_inner; ++c) of_channel[c] = rise(first(c), m.d_state);
    }
    LayerSelection layer;
    layer.channels = best_of(of_channel, channels);
    for (const std::uint32_t c : layer.channels) {
      if (where != nullptr) {
        for (std::size_t n = 0; n < m.d_state; ++n) of_state[n] = rise(first(c) + n, 1);
      }
      const std::vector<std::uint32_t> chosen = best_of(of_state, states);
      layer.states.insert(layer.states.end(), chosen.begin(), chosen.end());
    }
    selection.layers.push_back(std::move(layer));
  }
  store.set_values(before);
  return selection;
}

}  // namespace detail

/// The scores of all dimensions of A_log, which learns as a whole in `model`, by options.criterion: of the
/// model's values as they are for Decay and Magnitude, of gradients over one pass over `data` for Gradient,
/// GradientWeight, Fisher and Gain. Training changes none of them here. Throws ArgumentError for Change,
/// which needs the values before, and for Ablation, which scores the states of chosen channels alone.
template <class Model, class Data>
DimensionScores dimension_scores(Model& model, const Data& data, const SelectionOptions& options) {
  switch (options.criterion) {
    case SelectionCriterion::Change:
    case SelectionCriterion::Ablation:
      throw ArgumentError("dimension_scores: has no scores by " +
                          std::string(selection_criterion_name(options.criterion)) +
                          "; call select_dimensions");
    case SelectionCriterion::Decay:
    case SelectionCriterion::Magnitude:
      return detail::value_scores(model, options.criterion);
    default:
      return detail::gradient_scores(model, examples_of(data), options);
  }
}

}  // namespace sdlora
