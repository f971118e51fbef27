// Each score against its definition, from finite differences or from values by hand.
#include <doctest/doctest.h>

#include <sdlora/training/dimension_scores.hpp>
#include <sdlora/training/select_dimensions.hpp>

#include "training/support.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Whole = Place<On<site::ALog, Full>>;
constexpr std::size_t E = 20, N = 16;

using Model = MambaModel<Tiny, Whole, double>;
Model model_of_whole() {
  return Model(std::shared_ptr<const Base<Tiny, double>>(rough_base<Tiny, double>(tiny_dimensions)));
}

SelectionOptions by(SelectionCriterion criterion, std::size_t batch_size = 3, std::size_t steps = 0) {
  return {.criterion = criterion, .steps = steps, .batch_size = batch_size, .seed = 4, .progress = false};
}

/// The examples of each batch of a pass, as a trainer of that seed takes them in its first epoch.
std::vector<Batch> batches_of(const std::vector<Example>& examples, std::size_t size) {
  std::vector<std::uint32_t> order(examples.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  RandomStream(4, 0).shuffle(order.data(), order.size());
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i % size == 0) batches.emplace_back();
    batches.back().add(examples[order[i]]);
  }
  return batches;
}

/// ∂(mean loss)/∂A_log(c, n) of a layer, by a difference.
double slope(Model& model, const Batch& batch, std::size_t l, std::size_t c, std::size_t n) {
  const ParameterInfo& entry = *model.parameters().find("layers." + std::to_string(l) + ".A_log");
  double& value = model.parameters().values(entry)[c * N + n];
  const double kept = value, step = 1e-4;
  value = kept + step;
  const double above = model.loss(batch).mean();
  value = kept - step;
  const double below = model.loss(batch).mean();
  value = kept;
  return (above - below) / (2.0 * step);
}

}  // namespace

TEST_CASE("dimension_scores: gradients over a pass, by finite differences") {
  const std::vector<Example> examples = doubling_task(7);
  const std::vector<Batch> batches = batches_of(examples, 3);
  REQUIRE(batches.size() == 3);  // of 3, 3 and 1
  Model model = model_of_whole();
  const auto scores_by = [&](SelectionCriterion criterion) {
    return dimension_scores(model, examples, by(criterion));
  };
  const auto gradient = scores_by(SelectionCriterion::Gradient),
             fisher = scores_by(SelectionCriterion::Fisher),
             weight = scores_by(SelectionCriterion::GradientWeight),
             gain = scores_by(SelectionCriterion::Gain);
  REQUIRE(gradient.size() == 2);
  REQUIRE(gradient[1].size() == E * N);
  for (const auto [l, c, n] : {std::array<std::size_t, 3>{0, 0, 0}, {0, 19, 15}, {1, 7, 3}, {1, 13, 11}}) {
    CAPTURE(l);
    CAPTURE(c);
    double mean = 0.0, square = 0.0;
    for (const Batch& batch : batches) {
      const double g = slope(model, batch, l, c, n);
      mean += g / 3.0;
      square += g * g / 3.0;
    }
    REQUIRE(mean != 0.0);
    const double a_log = model.base()->layer(l).A_log(c, n);
    const std::size_t i = c * N + n;
    const auto close = [&](double found, double expected) {
      CHECK(found == doctest::Approx(expected).epsilon(1e-4));
    };
    close(gradient[l][i], std::abs(mean));
    close(weight[l][i], std::abs(mean * a_log));
    close(fisher[l][i], square);
    close(gain[l][i], mean * mean / std::sqrt(square));
    CHECK(gain[l][i] <= gradient[l][i] * (1.0 + 1e-12));  // equal where all batches agree
  }
  const std::span<const double> left = std::as_const(model).parameters().gradients();
  CHECK(std::all_of(left.begin(), left.end(), [](double g) { return g == 0.0; }));
  // At most so many batches as `steps` says.
  const auto first = dimension_scores(model, examples, by(SelectionCriterion::Gradient, 3, 1));
  CHECK(first[1][7 * N + 3] == doctest::Approx(std::abs(slope(model, batches[0], 1, 7, 3))).epsilon(1e-4));
  // One batch of all agrees with itself.
  const auto together = dimension_scores(model, examples, by(SelectionCriterion::Gain, 9));
  const auto alone = dimension_scores(model, examples, by(SelectionCriterion::Gradient, 9));
  CHECK(together[0][5] == doctest::Approx(alone[0][5]).epsilon(1e-12));
}

TEST_CASE("dimension_scores: what is read off the values") {
  Model model = model_of_whole();
  const auto& base = *model.base();
  const std::vector<Example> examples = doubling_task(3);
  for (double& value : model.parameters().values()) value += 0.1;  // as if it had learned
  const auto magnitude = dimension_scores(model, examples, by(SelectionCriterion::Magnitude));
  const auto decay = dimension_scores(model, examples, by(SelectionCriterion::Decay));
  for (std::size_t l = 0; l < 2; ++l) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{37}, E * N - 1}) {
      const double a = std::exp(base.layer(l).A_log(i / N, i % N) + 0.1);
      const double dt = std::log(1.0 + std::exp(base.layer(l).dt_bias(0, i / N)));
      CHECK(magnitude[l][i] == doctest::Approx(a));
      CHECK(decay[l][i] == doctest::Approx(std::pow(std::exp(-dt * a), 2.0)));
    }
  }
  for (const auto criterion : {SelectionCriterion::Change, SelectionCriterion::Ablation}) {
    CHECK_THROWS_WITH_AS(dimension_scores(model, examples, by(criterion)),
                         doctest::Contains("call select_dimensions"), ArgumentError);
  }
}

TEST_CASE("dimension_scores: ablation chooses what the loss rises most without") {
  const std::vector<Example> examples = doubling_task(5);
  Model model = model_of_whole();
  const std::vector<double> before = model.parameters().host_values();
  const auto options = by(SelectionCriterion::Ablation, 4);
  const Selection found = detail::ablated_dimensions(model, examples, options, 3, 2);
  CHECK(model.parameters().host_values() == before);
  found.validate();
  const Batch batch = batches_of(examples, 4)[0];
  const auto rise = [&](std::size_t l, std::size_t c, std::size_t first, std::size_t count) {
    Base<Tiny, double> changed(*rough_base<Tiny, double>(tiny_dimensions));
    for (std::size_t n = first; n < first + count; ++n) changed.layer(l).A_log(c, n) = 10.0;
    changed.finish();
    const MambaModel<Tiny, presets::NothingTrains, double> plain(
        std::make_shared<const Base<Tiny, double>>(std::move(changed)));
    return plain.loss(batch).sum;
  };
  const std::size_t l = 1;
  std::vector<double> of_channel;
  for (std::size_t c = 0; c < E; ++c) of_channel.push_back(rise(l, c, 0, N));
  CHECK(found.layers[l].channels == detail::best_of(of_channel, 3));
  std::vector<double> of_state;
  for (std::size_t n = 0; n < N; ++n) of_state.push_back(rise(l, found.layers[l].channels[2], n, 1));
  const auto states = detail::best_of(of_state, 2);
  CHECK(std::equal(states.begin(), states.end(), found.layers[l].states.begin() + 4));
}

TEST_CASE("dimension_scores: every criterion selects; layers without A_log take the first dimensions") {
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  const std::vector<Example> examples = doubling_task(9);
  for (const std::string_view name : selection_criterion_names) {
    CAPTURE(name);
    SelectionOptions options = by(parse_selection_criterion(name), 4, 3);
    options.learning_rate = 1e-2;
    options.adapters = {LoRAOptions{.rank = 2}, SelectedOptions{.channels = 2, .states = 3},
                        Layers<site::ALog>{1, 2}, Layers<site::XProjB>{1, 2}, Layers<site::XProjC>{1, 2}};
    const Selection selection = select_dimensions<presets::SDLoRA<>>(base, examples, options);
    selection.validate();
    CHECK(selection.layers[0].channels == std::vector<std::uint32_t>{0, 1});
    CHECK(selection.layers[1].states.size() == 6);
    CHECK(select_dimensions<presets::SDLoRA<>>(base, examples, options) == selection);
  }
  // Whole epochs, and the whole SSM's first phase.
  SelectionOptions options = by(SelectionCriterion::Change, 4, 0);
  CHECK_THROWS_WITH_AS((select_dimensions<presets::SDT<2, 2, 3>>(base, examples, options)),
                       doctest::Contains("at least 1 step"), ArgumentError);
  options.epochs = 1;
  const Selection epoch = select_dimensions<presets::SDT<2, 2, 3>>(base, examples, options);
  options.steps = 3;  // 9 examples by 4
  CHECK(select_dimensions<presets::SDT<2, 2, 3>>(base, examples, options) == epoch);
}

TEST_CASE("dimension_scores: without examples, or without a gradient, nothing is selected") {
  Model model = model_of_whole();
  CHECK_THROWS_WITH_AS(dimension_scores(model, std::vector<Example>{}, by(SelectionCriterion::Fisher)),
                       doctest::Contains("expected examples to score dimensions by, found none"),
                       ArgumentError);
  const auto base = rough_base<TinyAny, float>(tiny_dimensions);
  const std::vector<Example> alone{{{3}, {3}}};  // no target
  CHECK_THROWS_WITH_AS(
      (select_dimensions<presets::SDLoRA<2, 2, 2>>(base, alone, by(SelectionCriterion::Gradient))),
      doctest::Contains("every dimension of layer 0 has the score 0 by gradient"), Error);
}
