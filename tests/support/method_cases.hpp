#pragma once

#include "gradient_check.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/adapter.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "io/support.hpp"

// What every method owes, checked from one line of a table (tests/model/methods*.cpp): where it sits and what
// it counts there. A gradient that is right and not zero; merged weights that are the same function; a file
// that gives the same bits; decoding that is the whole pass; the emulator's numbers.
namespace sdlora_test {

using namespace sdlora;

// Of one layer of Tiny: d = 10, E = 20, N = 16, R = 3, K = 4; once a model: V = 19. Two layers.
inline constexpr std::size_t tiny_layers = 2;

inline AdapterOptions method_options() {
  return {LoRAOptions{.rank = 2, .alpha = 3.0},
          DoRAOptions{.rank = 2, .alpha = 3.0},
          VeRAOptions{.rank = 2},
          LoRAFAOptions{.rank = 2, .alpha = 3.0},
          ProDiaLOptions{.rank = 2, .alpha = 3.0, .block_size = 5},
          LowRankOffsetOptions{.rank = 2},
          ScaledStateOptions{.state_scale = 0.6},
          AdditionalScanOptions{.extra_states = 3},
          SelectedOptions{.channels = 3, .states = 2},
          RowsOptions{.prompt_length = 3}};
}

template <class P>
void check_method_gradients() {
  auto model = stirred_model<P>(tiny_dimensions, method_options());
  check_model_gradients(model);
  // None of them is zero by mistake, in any layer.
  model.parameters().zero_gradients();
  model.accumulate_gradients(some_batch({7, 1, 5}), 0.5, {.training = true, .step = 1});
  for (const ParameterInfo& entry : model.parameters().entries()) {
    CAPTURE(entry.name);
    const std::span<const double> gradient = model.parameters().gradients(entry);
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double g) { return g != 0.0; }));
  }
}

/// At first an adapter changes nothing: the base is where training begins.
template <class P>
void check_start() {
  const auto base = rough_base<Tiny, double>(tiny_dimensions);
  const auto model =
      make_model<P, Tiny, double>(std::shared_ptr<const Base<Tiny, double>>(base), method_options());
  const MambaModel<Tiny, presets::NothingTrains, double> plain(base);
  const Batch batch = some_batch({9, 4});
  if constexpr (!P::template learns_at<site::Prompt> && !P::template learns_at<site::Prefix>) {
    CHECK(model.loss(batch).sum == doctest::Approx(plain.loss(batch).sum).epsilon(1e-13));
  }
}

template <class P>
void check_merge() {
  if constexpr (P::mergeable) {
    const auto model = stirred_model<P>(tiny_dimensions, method_options());
    const MambaModel<Tiny, presets::NothingTrains, double> plain(model.merged());
    const Batch batch = some_batch({33, 5});
    const auto expected = model.logits(batch);
    const auto found = plain.logits(batch);
    CHECK(relative_norm(std::span<const double>(found.data(), found.size()),
                        std::span<const double>(expected.data(), expected.size())) < 1e-12);
    Base<Tiny, double> restored(*model.merged());
    model.add_change(restored, -1.0);
    double furthest = 0.0;
    const MatrixView<const double> found_out = restored.layer(0).out_proj;
    const MatrixView<const double> expected_out = model.base()->layer(0).out_proj.values();
    for (std::size_t i = 0; i < found_out.rows * found_out.cols; ++i) {
      furthest = std::max(furthest, std::abs(found_out.data[i] - expected_out.data[i]));
    }
    CHECK(furthest < 1e-14);
  }
}

template <class P>
void check_file() {
  const test::Folder folder;
  const auto model = stirred_model<P, Tiny, float>(tiny_dimensions, method_options());
  save_adapter(model, folder / "adapter");
  using Model = MambaModel<Tiny, P, float>;
  const Model loaded = load_adapter<Model>(
      std::shared_ptr<const Base<Tiny, float>>(rough_base<Tiny, float>(tiny_dimensions)), folder / "adapter");
  const Batch batch = some_batch({6, 11});
  CHECK(loaded.loss(batch).sum == model.loss(batch).sum);
  CHECK(loaded.options().values() == model.options().values());
}

/// Whole sequences and one token after another are the same function.
template <class P>
void check_decoding() {
  const auto model = stirred_model<P>(tiny_dimensions, method_options());
  const Batch batch = some_batch({6});
  const auto whole = model.logits(batch);
  auto state = model.initial_state(1);
  Tensor<double, Extents<dyn, dyn>> logits(Extents<dyn, dyn>(1, 19));
  for (std::size_t t = 0; t < 6; ++t) {
    model.step(batch.ids().subspan(t, 1), state, logits.matrix());
    for (std::size_t v = 0; v < 19; ++v) {
      REQUIRE(logits.matrix()(0, v) == doctest::Approx(whole.matrix()(t, v)).epsilon(1e-10));
    }
  }
}

/// The emulator runs the GPU's kernels: the same loss and gradients.
template <class P>
void check_devices() {
  using Here = MambaModel<Tiny, P, Run<Cpu>>;
  using There = MambaModel<Tiny, P, Run<Emulated>>;
  const std::shared_ptr<const Base<Tiny>> base = rough_base<Tiny, float>(tiny_dimensions);
  const auto far = std::make_shared<const Base<Tiny, float, Emulated>>(*base);
  const AdapterOptions options = method_options();
  const Selection selection = P::selects ? selection_for(tiny_dimensions, options) : Selection{};
  Here here(base, selection, options);
  There there(far, selection, options);
  stir(here);
  there.parameters().set_values(here.parameters().values());
  const Batch batch = some_batch({5, 8});
  const double loss = here.accumulate_gradients(batch, 0.5).sum;
  CHECK(there.accumulate_gradients(batch, 0.5).sum == doctest::Approx(loss).epsilon(1e-5));
  CHECK(relative_norm(there.parameters().host_gradients(), here.parameters().host_gradients()) < 1e-4);
}

/// On matrices stored as bfloat16 a method is what it is on a float base of the same values, within what
/// products round of activations. Finite differences cannot measure a function of rounded values: the float
/// gradients, which they do measure in double, are what these are held to. The emulator agrees.
template <class P>
void check_stored() {
  using Here = MambaModel<Tiny, P, Run<Cpu>>;
  using There = MambaModel<Tiny, P, Run<Emulated>>;
  using B = Base<Tiny>;
  const auto stored =
      std::make_shared<const B>(rough_base<Tiny, float>(tiny_dimensions)->stored_as(StoredType::BFloat16));
  const auto widened = std::make_shared<const B>(stored->stored_as(StoredType::Scalar));
  const auto far = std::make_shared<const Base<Tiny, float, Emulated>>(*stored);
  const AdapterOptions options = method_options();
  const Selection selection = P::selects ? selection_for(tiny_dimensions, options) : Selection{};
  Here here(stored, selection, options), expected(widened, selection, options);
  There there(far, selection, options);
  stir(expected);
  here.parameters().set_values(expected.parameters().values());
  there.parameters().set_values(expected.parameters().values());
  const Batch batch = some_batch({5, 8, 21});
  const auto of = [](const auto& tensor) { return std::span<const float>(tensor.data(), tensor.size()); };
  const auto float_logits = expected.logits(batch), logits = here.logits(batch);
  const double rounding = relative_norm(of(logits), of(float_logits));
  CHECK(rounding < 5e-2);
  CHECK(rounding > 1e-5);  // products do round
  const double loss = here.accumulate_gradients(batch, 0.5).sum;
  CHECK(loss == doctest::Approx(expected.accumulate_gradients(batch, 0.5).sum).epsilon(1e-2));
  const auto& found = std::as_const(here).parameters();
  CHECK(relative_norm(found.gradients(), std::as_const(expected).parameters().gradients()) < 5e-2);
  CHECK(there.accumulate_gradients(batch, 0.5).sum == doctest::Approx(loss).epsilon(1e-3));
  CHECK(relative_norm(there.parameters().host_gradients(), found.gradients()) < 2e-3);
  if constexpr (P::mergeable) {
    const auto merged = here.merged();
    CHECK(merged->weights() == StoredType::Scalar);
    const MambaModel<Tiny, presets::NothingTrains> plain(merged);
    const auto after = plain.logits(batch);
    CHECK(relative_norm(of(after), of(float_logits)) < 1e-5);
  }
}

template <class P>
void check_method(std::size_t a_layer, std::size_t a_model = 0) {
  const AdapterOptions options = method_options();
  CHECK(trainable_parameters<P>(tiny_dimensions, options) == tiny_layers * a_layer + a_model);
  check_start<P>();
  check_method_gradients<P>();
  check_merge<P>();
  check_file<P>();
  check_decoding<P>();
  check_devices<P>();
  check_stored<P>();
}

}  // namespace sdlora_test

/// A line of the table: the method's name, how many values it learns in a layer, where it sits.
#define SDLORA_TEST_METHOD(NAME, COUNT, ...) \
  TEST_CASE("method: " NAME) { sdlora_test::check_method<sdlora::Place<__VA_ARGS__>>(COUNT); }
