// Logits, loss and gradients of LoRA: peft's, and PyTorch's with changed weights.
#include "support/reference_adapters.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// All linear sites, of which a dump names some: the others have B = 0 and so change nothing.
template <class T>
auto lora_model(std::size_t rank, double alpha) {
  auto model = model_of<presets::LoRAAll<>, T>({LoRAOptions{.rank = rank, .alpha = alpha}});
  for (const ParameterInfo& entry : model.parameters().entries()) {
    for (T& value : model.parameters().values(entry)) value = T(0);
  }
  return model;
}

template <class T>
void compare_sites(const char* folder, std::size_t rank, const std::vector<std::string>& sites,
                   double outputs_within, double gradients_within) {
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
  for (const std::string& name : names)
    compare_gradient(model, name, reference.read("grad." + name), gradients_within);
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
  const std::vector<Fused> modules{
      {"in_proj", 13, {{"in_proj_x", 0, E}, {"in_proj_z", E, E}}},
      {"x_proj", E, {{"x_proj_dt", 0, R}, {"x_proj_B", R, N}, {"x_proj_C", R + N, N}}}};
  const Reference reference("lora_peft");
  const TensorFile adapter = TensorFile::open(Reference::path_of("lora_peft") / "adapter_model.safetensors");
  auto model = lora_model<T>(3, 6.0);
  const auto each = [&](const auto& f) {
    for (std::size_t l = 0; l < layers; ++l) {
      for (const Fused& module : modules) {
        f(module,
          "base_model.model.backbone.layers." + std::to_string(l) + ".mixer." + module.module + ".lora_",
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
      compare_gradient(model, layer + part.site + ".lora_B", rows_of(B, 3, part.first, part.count),
                       gradients_within);
    }
    CHECK(relative_error(A, reference.read("grad." + theirs + "A.weight")) <= gradients_within);
  });
}

const std::vector<std::string> all_sites{"in_proj_x", "in_proj_z", "x_proj_dt", "x_proj_B",
                                         "x_proj_C",  "dt_proj",   "out_proj"};

}  // namespace

TEST_CASE("LoRA in double, of peft and by changed weights") {
  compare_peft<double>(1e-11, 1e-9);
  compare_sites<double>("lora_dt_out", 3, {"dt_proj", "out_proj"}, 1e-11, 1e-9);
  compare_sites<double>("lora_sites", 2, all_sites, 1e-11, 1e-9);
}

TEST_CASE("LoRA in float, of peft and by changed weights") {
  compare_peft<float>(1e-5, 1e-4);
  compare_sites<float>("lora_dt_out", 3, {"dt_proj", "out_proj"}, 1e-5, 1e-4);
  compare_sites<float>("lora_sites", 2, all_sites, 1e-5, 1e-4);
}
