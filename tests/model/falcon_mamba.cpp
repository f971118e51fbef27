// Falcon-Mamba: the gradients through the norms of dt, B and C against finite differences, placement by
// placement, on the emulated device, in chunks and merged. Hugging Face's values are in reference_falcon.cpp.
#include "support/gradient_check.hpp"
#include "support/model_device_cases.hpp"

#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr MambaDimensions m = dimensions(TinyFalcon::config);

template <class P>
void check_gradients(const char* name) {
  CAPTURE(name);
  auto model = stirred_model<P, TinyFalcon>(m);
  check_model_gradients(model);
}
template <Site S>
using Alone = Place<On<S, LoRA<2>>>;

}  // namespace

TEST_CASE("falcon_mamba: gradients of presets against finite differences") {
  check_gradients<presets::FullFineTune>("FullFineTune");
  check_gradients<presets::LoRAAll<2>>("LoRAAll");
  check_gradients<presets::SDLoRA<2, 3, 2>>("SDLoRA");
  check_gradients<presets::Prefix<3>>("Prefix");
}

TEST_CASE("falcon_mamba: gradients of one site alone, for which the others' are not formed") {
  check_gradients<Alone<site::XProjDt>>("x_proj_dt");
  check_gradients<Alone<site::XProjB>>("x_proj_B");
  check_gradients<Alone<site::XProjC>>("x_proj_C");
  check_gradients<Alone<site::DtProj>>("dt_proj");
}

TEST_CASE("falcon_mamba: gradients of what joins the scan, and of states before the first token") {
  check_gradients<presets::StateOffsetTuning>("StateOffsetTuning");
  check_gradients<presets::StateOffsetTuningY>("StateOffsetTuningY");  // it keeps nothing of x_proj
  check_gradients<presets::AdditionalStates<3>>("AdditionalStates");
  check_gradients<presets::InitialStateAndWindow>("InitialStateAndWindow");
}

TEST_CASE("falcon_mamba: the emulated device agrees with the host") {
  check_model_on<Run<Emulated>, presets::FullFineTune, TinyFalcon>("FullFineTune");
  check_model_on<Run<Emulated>, presets::LoRAAll<2>, TinyFalcon>("LoRAAll");
}

TEST_CASE("falcon_mamba: a type that leaves the norms open runs the same") {
  struct Case {
    double epsilon;
    bool tied;
  };
  const Batch batch = some_batch({5, 1, 13});
  double last = 0.0;
  for (const Case& c : {Case{0.0, true}, Case{0.05, true}, Case{0.0, false}, Case{0.05, false}}) {
    CAPTURE(c.epsilon);
    CAPTURE(c.tied);
    MambaDimensions sizes = m;
    sizes.mixer_norm_epsilon = c.epsilon;
    sizes.tied_head = c.tied;
    using P = presets::LoRAAll<2>;
    auto open = stirred_model<P, presets::AnyMamba>(sizes);
    const Loss loss = open.accumulate_gradients(batch, 1.0);
    CHECK(loss.sum != last);  // each of the four is another model
    last = loss.sum;
    const auto compare = [&](auto model) {
      CHECK(model.accumulate_gradients(batch, 1.0).sum == loss.sum);
      const auto found = std::as_const(model).parameters().gradients();
      const auto expected = std::as_const(open).parameters().gradients();
      CHECK(std::equal(found.begin(), found.end(), expected.begin(), expected.end()));
    };
    if (c.epsilon > 0.0) {
      compare(stirred_model<P, TinyFalcon>(sizes));
    } else {
      compare(stirred_model<P, Tiny>(sizes));
    }
  }
}

TEST_CASE("falcon_mamba: step by step the logits of the whole sequence") {
  const auto model = stirred_model<presets::LoRAAll<2>, TinyFalcon>(m);
  const Batch batch = some_batch({6});
  const auto whole = model.logits(batch);
  auto state = model.initial_state(1);
  std::vector<double> logits(m.vocab_size);
  for (std::size_t t = 0; t < 6; ++t) {
    model.step(batch.ids().subspan(t, 1), state, MatrixView<double>(logits.data(), 1, m.vocab_size));
    for (std::size_t v = 0; v < m.vocab_size; ++v) {
      CHECK(logits[v] == doctest::Approx(whole(t, v)).epsilon(1e-10));
    }
  }
}

TEST_CASE("falcon_mamba: a learned embedding leaves a head of its own as it is") {
  using P = Place<On<site::Embedding, Full>>;
  auto model = stirred_model<P, TinyFalcon>(m);
  CHECK(model.parameters().size() == m.vocab_size * m.d_model);
  CHECK(model.total_parameters() == total_parameters(tiny_dimensions) + m.vocab_size * m.d_model);
  // A token that is not read has no gradient: it would have through a tied head.
  const std::vector<Example> examples{{.ids = {3, 4, 3, 5}, .labels = {3, 4, 3, 5}}};
  model.accumulate_gradients(Batch(examples), 1.0);
  const auto gradients = std::as_const(model).parameters().gradients();
  const auto learns = [&](std::size_t token) {
    const auto row = gradients.subspan(token * m.d_model, m.d_model);
    return std::any_of(row.begin(), row.end(), [](double g) { return g != 0.0; });
  };
  CHECK(learns(3));
  CHECK(learns(4));
  CHECK_FALSE(learns(6));

  const auto merged = model.merged();
  const auto& base = *model.base();
  CHECK(merged->embedding()(3, 1) != base.embedding()(3, 1));
  for (std::size_t i = 0; i < m.vocab_size * m.d_model; ++i) {
    CHECK(merged->head().values().data[i] == base.head().values().data[i]);
  }
  auto tied = rough_base<TinyFalcon, double>([] {
    MambaDimensions other = m;
    other.tied_head = true;
    return other;
  }());
  CHECK_THROWS_AS(model.add_change(*tied, 1.0), ShapeError);
}
