// Logits, loss and gradients of adapters that PyTorch computed with changed weights, rows and states.
#include "support/reference_adapters.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("selected dimensions and LoRA on out_proj") {
  const Reference reference("selected_dimensions");
  Selection selection{E, N, {}};
  for (std::size_t l = 0; l < layers; ++l) {
    const auto read = [&](const std::string& name) {
      std::vector<std::uint32_t> values;
      for (const std::int64_t v : reference.integers("layers." + std::to_string(l) + name)) {
        values.push_back(static_cast<std::uint32_t>(v));
      }
      return values;
    };
    selection.layers.push_back({read(".channels"), read(".states")});
  }
  auto model =
      model_of<presets::SDLoRA<>, double>({LoRAOptions{.rank = 2, .alpha = 2.0 * reference.number("scale")},
                                           SelectedOptions{.channels = 5, .states = 3}},
                                          selection);
  struct Pair {
    std::string ours, theirs;
  };
  std::vector<Pair> pairs;
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    pairs.push_back({layer + "A_log.delta", layer + "delta_A_log"});
    pairs.push_back({layer + "x_proj_B.delta", layer + "delta_x_proj_B"});
    pairs.push_back({layer + "x_proj_C.delta", layer + "delta_x_proj_C"});
    pairs.push_back({layer + "out_proj.lora_A", layer + "out_proj.lora_A"});
    pairs.push_back({layer + "out_proj.lora_B", layer + "out_proj.lora_B"});
  }
  CHECK(pairs.size() == model.parameters().entries().size());
  for (const Pair& pair : pairs) set(model, pair.ours, reference.read(pair.theirs));
  compare_outputs(model, reference, 1e-11);
  for (const Pair& pair : pairs)
    compare_gradient(model, pair.ours, reference.read("grad." + pair.theirs), 1e-9);
}

TEST_CASE("a prompt") {
  const Reference reference("prompt");
  auto model = model_of<presets::Prompt<5>, double>({});
  set(model, "prompt", reference.read("prompt"));
  const Batch batch = reference.batch();
  // The dump has the logits of the prompt's rows too, five before each sequence's own.
  const std::size_t V = model.dimensions().vocab_size;
  const std::vector<double> logits = reference.read("logits");
  std::vector<double> own;
  for (std::size_t s = 0; s < batch.sequences().count(); ++s) {
    const auto part =
        rows_of(logits, V, batch.sequences().first(s) + 5 * (s + 1), batch.sequences().length(s));
    own.insert(own.end(), part.begin(), part.end());
  }
  CHECK(relative_error(Outputs(model, batch).logits, own) <= 1e-11);
  const double loss = mean_loss_gradients(model, batch);
  CHECK(loss == doctest::Approx(reference.number("loss")).epsilon(1e-11));
  compare_gradient(model, "prompt", reference.read("grad.prompt"), 1e-9);
}

TEST_CASE("a prefix in every block") {
  const Reference reference("prefix");
  auto model = model_of<presets::Prefix<5>, double>({});
  const auto x_half = [](const std::vector<double>& rows) {  // the gate's half acts on nothing
    std::vector<double> x;
    for (std::size_t p = 0; p < 5; ++p) {
      for (std::size_t e = 0; e < E; ++e) x.push_back(rows[p * 2 * E + e]);
    }
    return x;
  };
  for (std::size_t l = 0; l < layers; ++l) {
    set(model, "layers." + std::to_string(l) + ".prefix",
        x_half(reference.read("prefix." + std::to_string(l))));
  }
  compare_outputs(model, reference, 1e-11);
  const Outputs outputs(model, reference.batch());
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = std::to_string(l);
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + layer)) <= 1e-11);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + layer)) <= 1e-11);
    compare_gradient(model, "layers." + layer + ".prefix", x_half(reference.read("grad.prefix." + layer)),
                     1e-9);
  }
}

TEST_CASE("a learned initial state") {
  const Reference reference("learned_state");
  auto model = model_of<presets::InitialState, double>({});
  for (std::size_t l = 0; l < layers; ++l) {
    set(model, "layers." + std::to_string(l) + ".h0", reference.read("h0." + std::to_string(l)));
  }
  compare_outputs(model, reference, 1e-11);
  const Outputs outputs(model, reference.batch());
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = std::to_string(l);
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + layer)) <= 1e-11);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + layer)) <= 1e-11);
    compare_gradient(model, "layers." + layer + ".h0", reference.read("grad.h0." + layer), 1e-9);
  }
}

TEST_CASE("sequences that continue from a given state and window") {
  const Reference reference("initial_state");
  MambaModel<presets::AnyMamba, presets::InitialState, double> model =
      model_of<presets::InitialState, double>({});
  const Batch batch = reference.batch();
  const std::size_t S = batch.sequences().count();
  MambaState<double> state(model.dimensions(), S);
  for (std::size_t l = 0; l < layers; ++l) {
    const std::vector<double> h = reference.read("h0." + std::to_string(l));
    const std::vector<double> window = reference.read("conv0." + std::to_string(l));  // (E, K − 1)
    for (std::size_t s = 0; s < S; ++s) {
      std::copy(h.begin(), h.end(), state.layer(l).h.row(s));
      for (std::size_t e = 0; e < E; ++e) {
        for (std::size_t k = 0; k < 3; ++k) state.layer(l).window(s, k * E + e) = window[e * 3 + k];
      }
    }
  }
  const Outputs outputs(model, batch, state);
  CHECK(relative_error(outputs.logits, reference.read("logits")) <= 1e-11);
  for (std::size_t l = 0; l < layers; ++l) {
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + std::to_string(l))) <= 1e-11);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + std::to_string(l))) <= 1e-11);
  }
}
