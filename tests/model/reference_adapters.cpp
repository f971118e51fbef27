// Logits, loss and gradients of adapters that peft, and PyTorch with changed weights, computed.
#include "support/reference_data.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t layers = 2, R = 3, E = 26, N = 16;

template <class P, class T>
MambaModel<presets::AnyMamba, P, T> model_of(const AdapterOptions& options, const Selection& selection = {}) {
  return {load_base<presets::AnyMamba, T>(Reference::path_of("two_layers")), selection, options};
}

template <class Model>
void set(Model& model, const std::string& name, const std::vector<double>& values) {
  CAPTURE(name);
  REQUIRE(set_values(model, name, values));
}

std::vector<double> rows_of(const std::vector<double>& matrix, std::size_t cols, std::size_t first, std::size_t count) {
  const auto begin = matrix.begin() + static_cast<std::ptrdiff_t>(first * cols);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * cols)};
}

template <class Model>
void compare_outputs(Model& model, const Reference& reference, double within) {
  const Batch batch = reference.batch();
  CHECK(relative_error(Outputs(model, batch).logits, reference.read("logits")) <= within);
  const double expected = reference.number("loss");
  CHECK(std::abs(mean_loss_gradients(model, batch) - expected) <= within * expected);
}

template <class Model>
void compare_gradient(const Model& model, const std::string& ours, const std::vector<double>& expected, double within) {
  CAPTURE(ours);
  CHECK(relative_error(joined_gradients(model, {ours}), expected) <= within);
}

/// All linear sites, of which a dump names some: the others have B = 0 and so change nothing.
template <class T>
auto lora_model(std::size_t rank, double alpha) {
  auto model = model_of<presets::LoRAAll<>, T>({.rank = rank, .alpha = alpha});
  for (const ParameterInfo& entry : model.parameters().entries()) {
    for (T& value : model.parameters().values(entry)) value = T(0);
  }
  return model;
}

template <class T>
void compare_sites(const char* folder, std::size_t rank, const std::vector<std::string>& sites, double outputs_within,
                   double gradients_within) {
  CAPTURE(folder);
  const Reference reference(folder);
  auto model = lora_model<T>(rank, reference.number("scale") * static_cast<double>(rank));
  std::vector<std::string> names;
  for (std::size_t l = 0; l < layers; ++l) {
    for (const std::string& site : sites) {
      for (const char* part : {".lora_A", ".lora_B"}) {
        names.push_back("layers." + std::to_string(l) + "." + site + part);
        set(model, names.back(), reference.read(names.back()));
      }
    }
  }
  compare_outputs(model, reference, outputs_within);
  for (const std::string& name : names) compare_gradient(model, name, reference.read("grad." + name), gradients_within);
}

/// peft's adapter has one A for all rows of in_proj, and of x_proj; here each part has its own.
template <class T>
void compare_peft(double outputs_within, double gradients_within) {
  struct Part {
    const char* site;
    std::size_t first, count;
  };
  struct Fused {
    const char* module;
    std::size_t inputs;
    std::vector<Part> parts;
  };
  const std::vector<Fused> modules{{"in_proj", 13, {{"in_proj_x", 0, E}, {"in_proj_z", E, E}}},
                                   {"x_proj", E, {{"x_proj_dt", 0, R}, {"x_proj_B", R, N}, {"x_proj_C", R + N, N}}}};
  const Reference reference("lora_peft");
  const TensorFile adapter = TensorFile::open(Reference::path_of("lora_peft") / "adapter_model.safetensors");
  auto model = lora_model<T>(3, 6.0);
  const auto each = [&](const auto& f) {
    for (std::size_t l = 0; l < layers; ++l) {
      for (const Fused& module : modules) {
        f(module, "base_model.model.backbone.layers." + std::to_string(l) + ".mixer." + module.module + ".lora_",
          "layers." + std::to_string(l) + ".");
      }
    }
  };
  each([&](const Fused& module, const std::string& theirs, const std::string& layer) {
    const std::vector<double> A = adapter.read<double>(theirs + "A.weight");
    const std::vector<double> B = adapter.read<double>(theirs + "B.weight");
    for (const Part& part : module.parts) {
      set(model, layer + part.site + ".lora_A", A);
      set(model, layer + part.site + ".lora_B", rows_of(B, 3, part.first, part.count));
    }
  });
  compare_outputs(model, reference, outputs_within);
  each([&](const Fused& module, const std::string& theirs, const std::string& layer) {
    CAPTURE(theirs);
    std::vector<double> A(3 * module.inputs, 0.0);
    const std::vector<double> B = reference.read("grad." + theirs + "B.weight");
    for (const Part& part : module.parts) {
      const std::vector<double> own = joined_gradients(model, {layer + part.site + ".lora_A"});
      REQUIRE(own.size() == A.size());
      for (std::size_t i = 0; i < A.size(); ++i) A[i] += own[i];
      compare_gradient(model, layer + part.site + ".lora_B", rows_of(B, 3, part.first, part.count), gradients_within);
    }
    CHECK(relative_error(A, reference.read("grad." + theirs + "A.weight")) <= gradients_within);
  });
}

const std::vector<std::string> all_sites{"in_proj_x", "in_proj_z", "x_proj_dt", "x_proj_B",
                                         "x_proj_C",  "dt_proj",   "out_proj"};

}  // namespace

TEST_CASE("LoRA in double, of peft and by changed weights") {
  compare_peft<double>(1e-12, 1e-10);
  compare_sites<double>("lora_dt_out", 3, {"dt_proj", "out_proj"}, 1e-12, 1e-10);
  compare_sites<double>("lora_sites", 2, all_sites, 1e-12, 1e-10);
}

TEST_CASE("LoRA in float, of peft and by changed weights") {
  compare_peft<float>(1e-5, 1e-4);
  compare_sites<float>("lora_dt_out", 3, {"dt_proj", "out_proj"}, 1e-5, 1e-4);
  compare_sites<float>("lora_sites", 2, all_sites, 1e-5, 1e-4);
}

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
  auto model = model_of<presets::SDLoRA<>, double>(
      {.rank = 2, .alpha = 2.0 * reference.number("scale"), .channels = 5, .states = 3}, selection);
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
  compare_outputs(model, reference, 1e-12);
  for (const Pair& pair : pairs) compare_gradient(model, pair.ours, reference.read("grad." + pair.theirs), 1e-10);
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
    const auto part = rows_of(logits, V, batch.sequences().first(s) + 5 * (s + 1), batch.sequences().length(s));
    own.insert(own.end(), part.begin(), part.end());
  }
  CHECK(relative_error(Outputs(model, batch).logits, own) <= 1e-12);
  const double loss = mean_loss_gradients(model, batch);
  CHECK(loss == doctest::Approx(reference.number("loss")).epsilon(1e-12));
  compare_gradient(model, "prompt", reference.read("grad.prompt"), 1e-10);
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
    set(model, "layers." + std::to_string(l) + ".prefix", x_half(reference.read("prefix." + std::to_string(l))));
  }
  compare_outputs(model, reference, 1e-12);
  const Outputs outputs(model, reference.batch());
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = std::to_string(l);
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + layer)) <= 1e-12);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + layer)) <= 1e-12);
    compare_gradient(model, "layers." + layer + ".prefix", x_half(reference.read("grad.prefix." + layer)), 1e-10);
  }
}

TEST_CASE("a learned initial state") {
  const Reference reference("learned_state");
  auto model = model_of<presets::InitialState, double>({});
  for (std::size_t l = 0; l < layers; ++l) {
    set(model, "layers." + std::to_string(l) + ".h0", reference.read("h0." + std::to_string(l)));
  }
  compare_outputs(model, reference, 1e-12);
  const Outputs outputs(model, reference.batch());
  for (std::size_t l = 0; l < layers; ++l) {
    const std::string layer = std::to_string(l);
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + layer)) <= 1e-12);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + layer)) <= 1e-12);
    compare_gradient(model, "layers." + layer + ".h0", reference.read("grad.h0." + layer), 1e-10);
  }
}

TEST_CASE("sequences that continue from a given state and window") {
  const Reference reference("initial_state");
  MambaModel<presets::AnyMamba, presets::InitialState, double> model = model_of<presets::InitialState, double>({});
  const Batch batch = reference.batch();
  const std::size_t S = batch.sequences().count();
  MambaState<double> state(model.dimensions(), S);
  for (std::size_t l = 0; l < layers; ++l) {
    const std::vector<double> h = reference.read("h0." + std::to_string(l));
    const std::vector<double> window = reference.read("conv0." + std::to_string(l));  // (E, K − 1)
    for (std::size_t s = 0; s < S; ++s) {
      std::copy(h.begin(), h.end(), state.layer(l).h + s * E * N);
      for (std::size_t e = 0; e < E; ++e) {
        for (std::size_t k = 0; k < 3; ++k) state.layer(l).window[(s * 3 + k) * E + e] = window[e * 3 + k];
      }
    }
  }
  const Outputs outputs(model, batch, state);
  CHECK(relative_error(outputs.logits, reference.read("logits")) <= 1e-12);
  for (std::size_t l = 0; l < layers; ++l) {
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + std::to_string(l))) <= 1e-12);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + std::to_string(l))) <= 1e-12);
  }
}
