// Counts, names and initial function of a model, and what it refuses. Values, gradients, states, merging and
// work have files of their own beside this one.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/adapters/selection_phase.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <set>

using namespace sdlora;
using namespace sdlora_test;

namespace {

// The published counts, as constants of the model's type.
static_assert(MambaModel<presets::Mamba130m, presets::SDLoRA<8, 15, 4>>::trainable_parameters == 455'328);
static_assert(MambaModel<presets::Mamba130m, presets::SDLoRA<8, 15, 2>>::trainable_parameters == 454'608);
static_assert(MambaModel<presets::Mamba130m, presets::SDLoRA<8, 15, 1>>::trainable_parameters == 454'248);
static_assert(MambaModel<presets::Mamba130m, presets::FullFineTune>::trainable_parameters == 129'135'360);
static_assert(MambaModel<presets::Mamba2_8b, presets::FullFineTune>::trainable_parameters == 2'768'345'600);

template <class P, class C>
std::shared_ptr<const Base<C, float>> base_for(const MambaDimensions& m) {
  return rough_base<C, float>(m);
}

/// The store has exactly what the formula counts, under the same name, static sizes or not.
template <class P, class DynamicP>
void check_counts(const char* name) {
  CAPTURE(name);
  auto all_static = make_model<P, Tiny, float>(base_for<P, Tiny>(tiny_dimensions));
  static_assert(MambaModel<Tiny, P>::trainable_parameters == trainable_parameters<P>(tiny_dimensions));
  CHECK(all_static.parameters().size() == all_static.trainable_parameters);
  CHECK(all_static.parameters().capacity() == all_static.trainable_parameters);
  auto all_dynamic = make_model<DynamicP, TinyAny, float>(base_for<DynamicP, TinyAny>(tiny_dimensions));
  CHECK(all_dynamic.trainable_parameters == all_static.trainable_parameters);
  CHECK(all_dynamic.parameters().size() == all_dynamic.trainable_parameters);
  std::set<std::string> names;
  for (const ParameterInfo& entry : all_static.parameters().entries()) names.insert(entry.name);
  CHECK(names.size() == all_static.parameters().entries().size());
}

template <class P = presets::SDLoRA<>>
auto sdlora_model(const AdapterOptions& options) {
  return make_model<P, Tiny, float>(base_for<P, Tiny>(tiny_dimensions), options);
}

}  // namespace

TEST_CASE("mamba_model: what the store has is what the formula counts") {
  check_counts<presets::SDLoRA<2, 3, 2>, presets::SDLoRA<>>("sdlora");
  check_counts<presets::LoRALinear<2>, presets::LoRALinear<>>("lora-linear");
  check_counts<presets::SDLoRALinear<2, 3, 2>, presets::SDLoRALinear<>>("sdlora-linear");
  check_counts<presets::LoRASsm<2>, presets::LoRASsm<>>("lora-ssm");
  check_counts<presets::LoRAAll<2>, presets::LoRAAll<>>("lora-all");
  check_counts<presets::RsLoRALinear<2>, presets::RsLoRALinear<>>("rslora-linear");
  // The ranks that DoRA and VeRA have where nobody says one.
  check_counts<presets::DoRALinear<8>, presets::DoRALinear<>>("dora-linear");
  check_counts<presets::VeRALinear<256>, presets::VeRALinear<>>("vera-linear");
  check_counts<presets::IA3All, presets::IA3All>("ia3");
  check_counts<presets::StateOffsetTuning, presets::StateOffsetTuning>("state-offset");
  check_counts<presets::InitialState, presets::InitialState>("initial-state");
  check_counts<presets::BitFit, presets::BitFit>("bitfit");
  check_counts<presets::Prompt<3>, presets::Prompt<>>("prompt");
  check_counts<presets::Prefix<3>, presets::Prefix<>>("prefix");
  check_counts<presets::FullFineTune, presets::FullFineTune>("full");
  check_counts<presets::NothingTrains, presets::NothingTrains>("nothing");
  const auto full =
      make_model<presets::FullFineTune, Tiny, float>(base_for<presets::FullFineTune, Tiny>(tiny_dimensions));
  CHECK(full.trainable_parameters == full.total_parameters());
}

TEST_CASE("mamba_model: layer ranges count where they let a site learn") {
  AdapterOptions options = some_options();
  options.layers = {{"out_proj", 1, 3}, {"x_proj_B", 0, 1}, {"A_log", 3}};
  auto model =
      make_model<presets::SDLoRA<>, TinyAny, float>(base_for<Place<>, TinyAny>(tiny_with_layers(4)), options);
  // rank 2 on (10, 20): 60 in 2 layers; columns 16·3: 48 in 1 and in 4; 3·2 of A_log: 6 in 1.
  CHECK(model.trainable_parameters == 2 * 60 + 48 + 4 * 48 + 6);
  CHECK(model.parameters().size() == model.trainable_parameters);
  CHECK(model.parameters().find("layers.1.out_proj.lora_A") != nullptr);
  CHECK(model.parameters().find("layers.0.out_proj.lora_A") == nullptr);
  CHECK(model.parameters().find("layers.3.A_log.delta") != nullptr);
}

TEST_CASE("mamba_model: several layer ranges of a site add up") {
  AdapterOptions options = some_options();
  options.layers = {
      {"out_proj", 3, 5}, {"A_log", 0, 1}, {"out_proj", 0, 1}, {"A_log", 1, 2}, {"out_proj", 5, 6}};
  auto model =
      make_model<presets::SDLoRA<>, TinyAny, float>(base_for<Place<>, TinyAny>(tiny_with_layers(7)), options);
  CHECK(model.trainable_parameters == 4 * 60 + 2 * 6 + 2 * 7 * 48);
  CHECK(model.parameters().size() == model.trainable_parameters);
  for (std::size_t l = 0; l < 7; ++l) {
    const std::string layer = "layers." + std::to_string(l);
    CHECK((model.parameters().find(layer + ".out_proj.lora_A") != nullptr) == (l == 0 || (l >= 3 && l < 6)));
    CHECK((model.parameters().find(layer + ".A_log.delta") != nullptr) == (l < 2));
  }
}

TEST_CASE("mamba_model: options for all sites that change nothing are named") {
  using Names = std::vector<std::string>;
  const AdapterOptions options{LoRAOptions{.rank = 16, .alpha = 3.0}, RowsOptions{.prompt_length = 5}};
  const auto named = [&]<class P>(P, const AdapterOptions& given) {
    return make_model<P, Tiny, float>(base_for<P, Tiny>(tiny_dimensions), given).options_without_effect();
  };
  CHECK(named(presets::LoRALinear<>{}, options) == Names{"rows prompt_length = 5"});
  CHECK(named(presets::LoRALinear<4>{}, options) == Names{"lora rank = 16", "rows prompt_length = 5"});
  CHECK(named(presets::LoRALinear<16>{}, options) == Names{"rows prompt_length = 5"});
  CHECK(named(presets::Prompt<>{}, options) == Names{"lora rank = 16", "lora alpha = 3"});
  CHECK(named(presets::BitFit{}, {LoRAOptions{.dropout = 0.5}}) == Names{"lora dropout = 0.5"});
  CHECK(named(presets::DoRALinear<>{}, {LoRAOptions{.rank = 16}}) ==
        Names{"lora rank = 16"});  // it has its own
  CHECK(named(presets::DoRALinear<>{}, AdapterOptions().set("rank", 3.0)).empty());
  CHECK(named(presets::SDLoRA<2, 3, 2>{}, some_options()) == Names{"rows prompt_length = 3"});
  CHECK(named(presets::LoRALinear<>{}, {}).empty());
}

TEST_CASE("mamba_model: a new adapter is the base's own function, and moving a model keeps it") {
  const auto base = base_for<Place<>, Tiny>(tiny_dimensions);
  const Batch batch = some_batch({12, 5});
  MambaModel<Tiny, presets::NothingTrains> plain(base);
  const Loss expected = plain.loss(batch);
  CHECK(expected.count == batch.loss_tokens());
  CHECK(make_model<presets::SDLoRA<>, Tiny, float>(base).loss(batch).sum ==
        doctest::Approx(expected.sum).epsilon(1e-6));
  CHECK(make_model<presets::LoRAAll<>, Tiny, float>(base).loss(batch).sum ==
        doctest::Approx(expected.sum).epsilon(1e-6));
  CHECK(make_model<presets::FullFineTune, Tiny, float>(base).loss(batch).sum ==
        doctest::Approx(expected.sum).epsilon(1e-6));
  CHECK(make_model<presets::InitialState, Tiny, float>(base).loss(batch).sum ==
        doctest::Approx(expected.sum).epsilon(1e-6));

  auto first = stirred_model<Everything, Tiny, float>();
  const double loss = first.loss(batch).sum;
  auto second = std::move(first);
  CHECK(second.loss(batch).sum == loss);
}

TEST_CASE("mamba_model: the loss is the logits' negative log-likelihood of the targets") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({12, 5, 1});
  const auto logits = model.logits(batch);
  const std::size_t V = 19;
  double sum = 0.0;
  for (std::size_t i = 0; i < batch.tokens(); ++i) {
    if (batch.targets()[i] == ignored_label) continue;
    double total = 0.0;
    for (std::size_t v = 0; v < V; ++v) total += std::exp(logits(i, v));
    sum += std::log(total) - logits(i, static_cast<std::size_t>(batch.targets()[i]));
  }
  CHECK(model.loss(batch).sum == doctest::Approx(sum).epsilon(1e-13));
}

TEST_CASE("mamba_model: decay is off for A_log, D, h0, biases and norms") {
  const auto model = make_model<presets::FullFineTune, Tiny, float>(base_for<Place<>, Tiny>(tiny_dimensions));
  for (const ParameterInfo& entry : model.parameters().entries()) {
    CAPTURE(entry.name);
    const std::set<std::string> without{"A_log", "D", "dt_bias", "conv_bias", "norm", "norm_f"};
    CHECK(entry.decay == !without.contains(entry.site));
  }
  const auto h0 = make_model<presets::InitialState, Tiny, float>(base_for<Place<>, Tiny>(tiny_dimensions));
  CHECK(!h0.parameters().entries()[0].decay);
}

TEST_CASE("mamba_model: tokens and batches that do not fit") {
  auto model = stirred_model<presets::BitFit, Tiny, float>();
  CHECK_THROWS_WITH_AS(model.loss(Batch(std::vector<Example>{{{3, 19}, {3, 1}}})),
                       doctest::Contains("token 1 is 19, expected 0 to 18"), ArgumentError);
  CHECK_THROWS_WITH_AS(model.accumulate_gradients(Batch(std::vector<Example>{{{-1}, {0}}}), 1.0),
                       doctest::Contains("token 0 is -1"), ArgumentError);
  // A target is a token too; −100 alone stands for none.
  CHECK_THROWS_WITH_AS(model.loss(Batch(std::vector<Example>{{{3, 4}, {3, 19}}})), doctest::Contains("is 19"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(model.loss(Batch(std::vector<Example>{{{3, 4}, {3, -1}}})), doctest::Contains("is -1"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(model.loss(Batch()), doctest::Contains("a batch of at least one sequence"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(model.accumulate_gradients(Batch(), 1.0), doctest::Contains("found an empty one"),
                       ArgumentError);

  MambaState<float> state = model.initial_state(2);
  std::vector<float> logits(3 * 19);
  const std::int32_t three[3] = {1, 2, 3};
  CHECK_THROWS_WITH_AS(model.step(three, state, MatrixView<float>(logits.data(), 3, 19)),
                       doctest::Contains("of 2 sequences as in the state"), ShapeError);
  CHECK_THROWS_WITH_AS(model.step(std::span(three).first(2), state, MatrixView<float>(logits.data(), 2, 18)),
                       doctest::Contains("room for logits (2, 19), found (2, 18)"), ShapeError);
  const std::size_t offsets[] = {0, 2, 3}, rows[] = {2, 3};
  CHECK_THROWS_WITH_AS(
      model.forward_rows(three, {offsets}, state, rows, MatrixView<float>(logits.data(), 2, 19)),
      doctest::Contains("expected rows below 3, the number of tokens, found 3"), ArgumentError);
  CHECK_THROWS_WITH_AS(model.forward_rows(three, {offsets}, state, std::span(rows).first(1),
                                          MatrixView<float>(logits.data(), 2, 19)),
                       doctest::Contains("room for logits (1, 19), found (2, 19)"), ShapeError);
  const auto offset = [&](std::size_t first, std::size_t second) {
    const std::size_t wrong[] = {first, second, 3};
    model.forward(three, {wrong}, state, MatrixView<float>(logits.data(), 3, 19));
  };
  CHECK_THROWS_WITH_AS(offset(1, 2), doctest::Contains("run from 1 to 3"), ShapeError);
  CHECK_THROWS_WITH_AS(offset(0, std::size_t{1} << 40), doctest::Contains("fall from"), ShapeError);
  MambaState<float> shallow(tiny_with_layers(1), 2);
  CHECK_THROWS_WITH_AS(model.forward(three, {offsets}, shallow, MatrixView<float>(logits.data(), 3, 19)),
                       doctest::Contains("expected a state of this model, found one of other sizes"),
                       ShapeError);
  for (const float value : state.values()) REQUIRE(value == 0.0F);  // none of these calls has moved it
  CHECK(model.loss(some_batch({3})).sum > 0.0);                     // after errors the model goes on
}

TEST_CASE("mamba_model: options out of range") {
  const auto refuses = [](AdapterOptions options, const char* text) {
    CHECK_THROWS_WITH_AS(sdlora_model(options), doctest::Contains(text), ArgumentError);
  };
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.dropout = 1.0});
  refuses(options, "adapter options: expected a dropout of at least 0 and below 1, found 1; ");
  options.set(LoRAOptions{.dropout = std::numeric_limits<double>::quiet_NaN()});
  refuses(options, "expected a dropout of at least 0 and below 1, found nan; ");
  options = some_options();
  options.set(LoRAOptions{.rank = 0});
  refuses(options, "adapter options: expected a rank of at least 1, found 0; ");
  options = some_options();
  options.set(RowsOptions{.prompt_length = 0});
  CHECK_THROWS_WITH_AS(
      sdlora_model<presets::Prompt<>>(options),
      doctest::Contains("adapter options: expected a prompt length of at least 1, found 0; "), ArgumentError);
  options = some_options();
  options.set(SelectedOptions{.states = 0});
  refuses(options, "adapter options: expected at least 1 state of each selected channel, found 0; ");
  options = some_options();
  options.set(options_at<site::OutProj>(SelectedOptions{.states = 2}));
  refuses(options, "the options say channels for site 'out_proj', where this placement has no policy with");
  options = some_options();
  options.set(LoRAOptions{.alpha = -0.25});
  refuses(options, "expected an alpha above 0, or 0 for alpha = rank, found -0.25; ");
  options.set(LoRAOptions{.alpha = std::numeric_limits<double>::infinity()});
  refuses(options, "expected an alpha above 0");

  options = some_options();
  options.layers = {{"in_proj_x", 0, 1}};
  refuses(options, "names site 'in_proj_x', which this placement does not train");
  options.layers = {{"out_porj", 0, 1}};
  refuses(options, "names site 'out_porj'");
  options.layers = {{"A_log", 2, 4}};
  refuses(options, "[2, 4) of site 'A_log' goes beyond the model's 2 layers");
  options.layers = {{"A_log", 0, 3}};
  refuses(options, "[0, 3) of site 'A_log' goes beyond the model's 2 layers");
  options.layers = {{"A_log", 2}};
  refuses(options, "[2, 2) of site 'A_log' has none of the model's 2 layers");
  options.layers = {{"A_log", 1, 1}};
  refuses(options, "has none of the model's 2 layers");
  options.layers = {{"A_log", 0, 2}, {"A_log", 1, 2}};
  refuses(options, "layer 1 is in two layer ranges of site 'A_log'");
  options.layers = {{"A_log", 0, 1}, {"A_log"}};
  refuses(options, "layer 0 is in two layer ranges of site 'A_log'");
  options.layers.assign(65, {"A_log", 0, 1});
  refuses(options, "at most 64 layer ranges, found 65");
}

TEST_CASE("mamba_model: a base that is not there") {
  using Model = MambaModel<Tiny, presets::BitFit>;
  const std::shared_ptr<const Model::base_type> none;
  CHECK_THROWS_WITH_AS(Model{none}, doctest::Contains("expected a base, found a null pointer"),
                       ArgumentError);
}

TEST_CASE("mamba_model: selections that do not fit") {
  const auto base = base_for<Place<>, Tiny>(tiny_dimensions);
  using Model = MambaModel<Tiny, presets::SDLoRA<2, 3, 2>>;
  const Selection good = some_selection(tiny_dimensions, 3, 2);
  CHECK(Model(base, good).selection() == good);
  CHECK_THROWS_WITH_AS(
      (Model(base)),
      doctest::Contains("this placement selects dimensions: expected a Selection for 2 layers, found none;"),
      ArgumentError);
  CHECK_THROWS_WITH_AS(Model(base, some_selection(tiny_dimensions, 4, 2)),
                       doctest::Contains("3 channels as the placement says"), ArgumentError);
  CHECK_THROWS_WITH_AS(Model(base, some_selection(tiny_dimensions, 3, 3)),
                       doctest::Contains("2 states per channel"), ArgumentError);
  CHECK_THROWS_WITH_AS(Model(base, some_selection(tiny_with_layers(3), 3, 2)),
                       doctest::Contains("found one for 3 layers"), ArgumentError);
  Selection bad = good;
  bad.layers[1].channels[2] = 20;
  CHECK_THROWS_WITH_AS(Model(base, bad),
                       doctest::Contains("layer 1: expected ascending channel indices below 20"),
                       ArgumentError);
  using Unselecting = MambaModel<Tiny, presets::LoRALinear<2>>;
  CHECK(Unselecting(base, Selection{}).selection().layers.empty());
  CHECK_THROWS_WITH_AS(
      Unselecting(base, good),
      doctest::Contains("selects no dimensions: expected no Selection, found one for 2 layers; leave it out"),
      ArgumentError);
}

TEST_CASE("mamba_model: the selection phase of a placement learns all of A_log and nothing of x_proj") {
  auto model = make_model<SelectionPhase<presets::SDLoRA<2, 3, 2>>, Tiny, float>(
      base_for<Place<>, Tiny>(tiny_dimensions));
  CHECK(model.trainable_parameters == 2 * (2 * 30 + 20 * 16));
  CHECK(model.parameters().find("layers.1.A_log") != nullptr);
}
