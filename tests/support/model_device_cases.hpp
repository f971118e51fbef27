#pragma once

#include "gradient_check.hpp"
#include "placements.hpp"
#include "tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/generate.hpp>
#include <sdlora/tensor/host_copy.hpp>
#include <sdlora/training/candidate_scorer.hpp>
#include <sdlora/training/evaluate.hpp>
#include <sdlora/training/select_dimensions.hpp>
#include <sdlora/training/trainer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

// A model on a device against the same one on the Cpu: one body for the emulator and for GPUs.
namespace sdlora_test {

/// The largest difference, as a part of the largest value expected.
inline double largest_difference(std::span<const float> found, std::span<const float> expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 1e-30, difference = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    const double apart = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    difference = std::isnan(apart) ? 1e30 : std::max(difference, apart);
  }
  return difference / largest;
}

template <class Running, class P, class C = Tiny>
struct BothModels {
  using Host = sdlora::MambaModel<C, P, float>;
  using There = sdlora::MambaModel<C, P, Running>;

  explicit BothModels(const sdlora::AdapterOptions& options = some_options(),
                      const sdlora::MambaDimensions& m = sdlora::dimensions(C::config))
      : dimensions(m),
        base(rough_base<C, float>(dimensions)),
        host(make<Host>(base, options)),
        there(make<There>(on_device(base), options)) {
    stir(host);
    there.parameters().set_values(host.parameters().values());
  }

  static std::shared_ptr<const typename There::base_type> on_device(
      std::shared_ptr<const sdlora::Base<C, float>> base) {
    if constexpr (sdlora::is_host<typename There::device_type>) {
      return base;
    } else {
      return std::make_shared<const typename There::base_type>(*base);
    }
  }
  template <class Model, class B>
  static Model make(std::shared_ptr<const B> base, const sdlora::AdapterOptions& options) {
    if constexpr (P::selects) {
      sdlora::Selection chosen = selection_for(base->dimensions(), options);
      return Model(std::move(base), std::move(chosen), options);
    } else {
      return Model(std::move(base), options);
    }
  }

  sdlora::MambaDimensions dimensions;
  std::shared_ptr<const sdlora::Base<C, float>> base;
  Host host;
  There there;
};

/// Logits within 1e-5, loss and every gradient within 1e-4; the same function when merged.
template <class Running, class P, class C = Tiny>
void check_model_on(const std::string& name,
                    const sdlora::MambaDimensions& m = sdlora::dimensions(C::config)) {
  CAPTURE(name);
  sdlora::AdapterOptions options = some_options();
  options.set(sdlora::LoRAOptions{.dropout = 0.3});
  BothModels<Running, P, C> models(options, m);
  const sdlora::Batch batch = some_batch({5, 1, 13}, models.dimensions.vocab_size);
  const auto expected = models.host.logits(batch);
  const auto found = models.there.logits(batch);
  const sdlora::HostCopy logits(found.matrix());
  CHECK(largest_difference(logits.values(), {expected.data(), expected.size()}) < 1e-5);
  CHECK(models.there.loss(batch).sum == doctest::Approx(models.host.loss(batch).sum).epsilon(1e-5));
  if constexpr (P::learns) {
    const sdlora::Pass pass{.training = true, .step = 7};
    const sdlora::Loss loss = models.there.accumulate_gradients(batch, 0.25, pass);
    CHECK(loss.sum == doctest::Approx(models.host.accumulate_gradients(batch, 0.25, pass).sum).epsilon(1e-5));
    CHECK(largest_difference(models.there.parameters().host_gradients(),
                             std::as_const(models.host).parameters().gradients()) < 1e-4);
  }
  if constexpr (P::mergeable) {
    const auto merged = models.there.merged()->on_host();
    const sdlora::MambaModel<C, sdlora::presets::NothingTrains, float> plain(
        std::make_shared<const sdlora::Base<C, float>>(merged));
    const auto after = plain.logits(batch);
    CHECK(largest_difference({after.data(), after.size()}, {expected.data(), expected.size()}) < 1e-4);
  }
}

/// Twenty steps with dropout, accumulation, decay and clipping; evaluation.
template <class Device>
void check_training_on() {
  using P = sdlora::presets::SDLoRA<2, 3, 2>;
  sdlora::AdapterOptions options = some_options();
  options.set(sdlora::LoRAOptions{.dropout = 0.2});
  BothModels<sdlora::Run<Device>, P> models(options);
  const std::vector<sdlora::Example> data = some_examples({4, 7, 1, 5, 3, 9, 2, 6}, 19, 11);
  const sdlora::TrainerOptions settings{.steps = 20,
                                        .learning_rate = 2e-3,
                                        .batch_size = 1,
                                        .accumulation = 3,
                                        .weight_decay = 0.1,
                                        .clip = 1.0,
                                        .progress = false};
  const auto expected = sdlora::Trainer(models.host, settings).fit(data);
  const auto found = sdlora::Trainer(models.there, settings).fit(data);
  REQUIRE(found.losses.size() == expected.losses.size());
  for (std::size_t i = 0; i < found.losses.size(); ++i) {
    CHECK(found.losses[i] == doctest::Approx(expected.losses[i]).epsilon(1e-4));
  }
  CHECK(largest_difference(models.there.parameters().host_values(),
                           std::as_const(models.host).parameters().values()) < 1e-3);
  CHECK(sdlora::evaluate_loss(models.there, data).mean() ==
        doctest::Approx(sdlora::evaluate_loss(models.host, data).mean()).epsilon(1e-4));
}

/// Half the squares of logits or of hidden states.
struct HalfSquares {
  template <class T, class D>
  sdlora::Loss operator()(const sdlora::LossRows<D>& rows, sdlora::MatrixView<const T, D> logits,
                          sdlora::MatrixView<T, D> d_logits) const {
    if (d_logits) sdlora::assign(d_logits, logits);
    return {half_squares(logits), rows.size()};
  }
  template <class T, class D>
  sdlora::Loss operator()(sdlora::MatrixView<const T, D> h, sdlora::MatrixView<T, D> d_h) const {
    sdlora::assign(d_h, h);
    return {half_squares(h), h.rows};
  }

 private:
  template <class T, class D>
  static double half_squares(sdlora::MatrixView<const T, D> x) {
    const sdlora::HostCopy copy(x);
    double sum = 0.0;
    for (const T value : copy.values()) sum += 0.5 * static_cast<double>(value) * static_cast<double>(value);
    return sum;
  }
};

/// A loss and a head of one's own.
template <class Device>
void check_own_losses_on() {
  BothModels<sdlora::Run<Device>, sdlora::presets::LoRALinear<2>> models;
  const sdlora::Batch batch = some_batch({5, 1, 13});
  const sdlora::Pass pass{.training = true};
  const auto check = [&](const auto& call) {
    models.host.parameters().zero_gradients();
    models.there.parameters().zero_gradients();
    const sdlora::Loss expected = call(models.host), found = call(models.there);
    CHECK(found.sum == doctest::Approx(expected.sum).epsilon(1e-5));
    CHECK(found.count == expected.count);
    CHECK(largest_difference(models.there.parameters().host_gradients(),
                             std::as_const(models.host).parameters().gradients()) < 1e-4);
  };
  check([&](auto& model) { return model.accumulate_gradients(batch, HalfSquares{}, 0.25, pass); });
  check([&](auto& model) {
    return model.accumulate_hidden_gradients(batch, batch.last_rows(), HalfSquares{}, pass);
  });
  const auto expected = models.host.hidden(batch);
  const auto found = models.there.hidden(batch);
  const sdlora::HostCopy hidden(found.matrix());
  CHECK(largest_difference(hidden.values(), {expected.data(), expected.size()}) < 1e-5);
}

/// Greedy generation in steps, scores of candidates, and the choice of dimensions.
template <class Device>
void check_use_on() {
  using P = sdlora::presets::SDLoRA<2, 3, 2>;
  BothModels<sdlora::Run<Device>, P> models;
  const std::vector<std::int32_t> prompt{3, 1, 4, 1, 5};
  const sdlora::GenerateOptions options{.max_tokens = 6};
  CHECK(sdlora::generate(models.there, prompt, options) == sdlora::generate(models.host, prompt, options));

  const std::vector<std::vector<std::int32_t>> prompts{{1, 2}, {7}}, candidates{{3}, {4, 5, 6}};
  const auto expected = sdlora::CandidateScorer(models.host, candidates).scores(prompts);
  const auto found = sdlora::CandidateScorer(models.there, candidates).scores(prompts);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-4));
  }

  const std::vector<sdlora::Example> data = some_examples({4, 7}, 19, 11);
  const sdlora::SelectionOptions selection{.steps = 2, .learning_rate = 1e-2, .progress = false};
  CHECK(sdlora::select_dimensions<P>(models.there.base(), data, selection) ==
        sdlora::select_dimensions<P>(models.base, data, selection));
}

template <class Device>
void check_presets_on() {
  using namespace sdlora::presets;
  using Run = sdlora::Run<Device>;
  check_model_on<Run, NothingTrains>("NothingTrains");
  check_model_on<Run, FullFineTune>("FullFineTune");
  check_model_on<Run, BitFit>("BitFit");
  check_model_on<Run, InitialState>("InitialState");
  check_model_on<Run, LoRALinear<2>>("LoRALinear");
  check_model_on<Run, LoRASsm<2>>("LoRASsm");
  check_model_on<Run, LoRAAll<2>>("LoRAAll");
  check_model_on<Run, Prompt<3>>("Prompt");
  check_model_on<Run, Prefix<3>>("Prefix");
  check_model_on<Run, SDLoRA<2, 3, 2>>("SDLoRA");
  check_model_on<Run, SDLoRALinear<2, 3, 2>>("SDLoRALinear");
  check_model_on<Run, Everything>("Everything");
}

}  // namespace sdlora_test
