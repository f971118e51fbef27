// Logits, loss and gradients of peft's other kinds of LoRA: rsLoRA, DoRA, of the embedding, of A_log.
#include "support/reference_adapters.hpp"

#include <sdlora/adapters/methods.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t r = 3, V = 37, d = 13;

/// One of peft's tensors stands for rows of several sites, which share its A.
struct Part {
  const char* site;
  std::size_t first, count;
};
struct Module {
  std::string key;  // behind "base_model.model.backbone.layers.{i}.mixer."
  std::size_t inputs;
  std::vector<Part> parts;
};
Module in_proj(const std::string& prefix = "") {
  return {prefix + "in_proj", d, {{"in_proj_x", 0, E}, {"in_proj_z", E, E}}};
}
Module x_proj() { return {"x_proj", E, {{"x_proj_dt", 0, R}, {"x_proj_B", R, N}, {"x_proj_C", R + N, N}}}; }

/// A peft adapter in a model of the placement P, one that has nothing else.
template <class P, class T>
class Adapted {
 public:
  Adapted(const char* folder, std::vector<Module> modules, const AdapterOptions& options)
      : reference_(folder),
        adapter_(TensorFile::open(Reference::path_of(folder) / "adapter_model.safetensors")),
        modules_(std::move(modules)),
        model_(model_of<P, T>(options)) {
    each([&](const Module& module, const std::string& theirs, const std::string& layer) {
      const std::vector<double> A = adapter_.read<double>(theirs + ".lora_A.weight");
      const std::vector<double> B = adapter_.read<double>(theirs + ".lora_B.weight");
      for (const Part& part : module.parts) {
        set(model_, layer + part.site + ".lora_A", A);
        set(model_, layer + part.site + ".lora_B", rows_of(B, r, part.first, part.count));
        if (!magnitudes()) continue;
        set(model_, layer + part.site + ".magnitude",
            rows_of(adapter_.read<double>(theirs + ".lora_magnitude_vector"), 1, part.first, part.count));
      }
    });
  }

  auto& model() { return model_; }
  const Reference& reference() const { return reference_; }
  const TensorFile& adapter() const { return adapter_; }

  void compare(double outputs_within, double gradients_within) {
    compare_outputs(model_, reference_, outputs_within);
    each([&](const Module& module, const std::string& theirs, const std::string& layer) {
      CAPTURE(theirs);
      std::vector<double> A(r * module.inputs, 0.0);
      const std::vector<double> B = reference_.read("grad." + theirs + ".lora_B.weight");
      for (const Part& part : module.parts) {
        const std::vector<double> own = joined_gradients(model_, {layer + part.site + ".lora_A"});
        REQUIRE(own.size() == A.size());
        for (std::size_t i = 0; i < A.size(); ++i) A[i] += own[i];
        compare_gradient(model_, layer + part.site + ".lora_B", rows_of(B, r, part.first, part.count),
                         gradients_within);
        if (!magnitudes()) continue;
        compare_gradient(model_, layer + part.site + ".magnitude",
                         rows_of(reference_.read("grad." + theirs + ".lora_magnitude_vector.weight"), 1,
                                 part.first, part.count),
                         gradients_within);
      }
      CHECK(relative_error(A, reference_.read("grad." + theirs + ".lora_A.weight")) <= gradients_within);
    });
  }

 private:
  bool magnitudes() const { return model_.parameters().find("layers.0.in_proj_x.magnitude") != nullptr; }

  template <class Function>
  void each(const Function& f) {
    for (std::size_t l = 0; l < layers; ++l) {
      for (const Module& module : modules_) {
        const std::string mixer = "base_model.model.backbone.layers." + std::to_string(l) + ".mixer";
        f(module, module.key.empty() ? mixer : mixer + "." + module.key, "layers." + std::to_string(l) + ".");
      }
    }
  }

  Reference reference_;
  TensorFile adapter_;
  std::vector<Module> modules_;
  MambaModel<presets::AnyMamba, P, T> model_;
};

template <template <std::size_t> class Policy>
using OnProjections =
    Place<On<site::InProjX, Policy<dyn>>, On<site::InProjZ, Policy<dyn>>, On<site::XProjDt, Policy<dyn>>,
          On<site::XProjB, Policy<dyn>>, On<site::XProjC, Policy<dyn>>>;

std::vector<double> transpose(const std::vector<double>& matrix, std::size_t rows, std::size_t cols) {
  std::vector<double> result(matrix.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) result[j * rows + i] = matrix[i * cols + j];
  }
  return result;
}

template <class T>
void compare_all(double outputs_within, double gradients_within) {
  const LoRAOptions lora{.rank = r, .alpha = 6.0};
  Adapted<OnProjections<RsLoRA>, T>("peft_rslora", {in_proj(), x_proj()}, {lora})
      .compare(outputs_within, gradients_within);
  Adapted<OnProjections<DoRA>, T>("peft_dora", {in_proj(), x_proj()},
                                  {DoRAOptions{.rank = r, .alpha = 6.0, .detach_norm = true}})
      .compare(outputs_within, gradients_within);

  using WithALog = Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>, On<site::ALog, LoRA<>>>;
  Adapted<WithALog, T>("peft_a_log", {in_proj("base_layer."), {"", N, {{"A_log", 0, E}}}}, {lora})
      .compare(outputs_within, gradients_within);

  // peft stores an embedding's A and B transposed, and acts on the lookup alone.
  using WithEmbedding =
      Place<On<site::InProjX, LoRA<>>, On<site::InProjZ, LoRA<>>, On<site::Embedding, LoRA<>>>;
  Adapted<WithEmbedding, T> embedded("peft_embedding", {in_proj()},
                                     {LoRAOptions{.rank = r, .alpha = 6.0, .lookup_only = true}});
  const std::string key = "base_model.model.backbone.embeddings.lora_embedding_";
  set(embedded.model(), "embedding.lora_B",
      transpose(embedded.adapter().template read<double>(key + "A"), r, V));
  set(embedded.model(), "embedding.lora_A",
      transpose(embedded.adapter().template read<double>(key + "B"), d, r));
  embedded.compare(outputs_within, gradients_within);
  compare_gradient(embedded.model(), "embedding.lora_B",
                   transpose(embedded.reference().read("grad." + key + "A"), r, V), gradients_within);
  compare_gradient(embedded.model(), "embedding.lora_A",
                   transpose(embedded.reference().read("grad." + key + "B"), d, r), gradients_within);
  CHECK_THROWS_WITH_AS(embedded.model().merged(), doctest::Contains("the head is tied to the embedding"),
                       ArgumentError);
}

}  // namespace

TEST_CASE("rsLoRA, DoRA, LoRA of A_log and of the embedding in double, of peft") {
  compare_all<double>(1e-11, 1e-9);
}
TEST_CASE("rsLoRA, DoRA, LoRA of A_log and of the embedding in float, of peft") {
  compare_all<float>(3e-5, 1e-4);
}
