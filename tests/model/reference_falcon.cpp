// Falcon-Mamba against Hugging Face's: logits, loss, states and every gradient, with a head of its own and
// with a tied one; and LoRA at every linear site.
#include "support/reference_adapters.hpp"
#include "support/reference_models.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// The sizes of the dump falcon_mamba_tied.
struct OtherFalcon {
  static constexpr MambaConfig config{
      .dt_rank = 2, .d_state = 8, .d_conv = 3, .expand = 3, .mixer_norm_epsilon = 0.3};
};

template <class T>
void compare_all(double outputs_within, double gradients_within) {
  compare_model<T>("falcon_mamba", outputs_within, gradients_within);
  compare_model<T, OtherFalcon>("falcon_mamba_tied", outputs_within, gradients_within);

  const Reference reference("falcon_mamba_lora");
  const double scale = reference.number("scale");
  MambaModel<presets::AnyMamba, presets::LoRAAll<>, T> model(
      load_base<presets::AnyMamba, T>(Reference::path_of("falcon_mamba")),
      AdapterOptions{LoRAOptions{.rank = 2, .alpha = 2 * scale}});
  for (const ParameterInfo& entry : model.parameters().entries()) {
    set(model, entry.name, reference.read(entry.name));
  }
  compare_outputs(model, reference, outputs_within);
  for (const ParameterInfo& entry : model.parameters().entries()) {
    compare_gradient(model, entry.name, reference.read("grad." + entry.name), gradients_within);
  }
  CHECK(model.parameters().entries().size() == 2 * 7 * 2);
}

}  // namespace

TEST_CASE("Hugging Face's Falcon-Mamba in double") { compare_all<double>(1e-11, 1e-9); }
TEST_CASE("Hugging Face's Falcon-Mamba in float") {
  compare_all<float>(1e-5, 1e-4);  // what is asked for: 1e-4 and 1e-3
}

TEST_CASE("Falcon-Mamba as read: its norms, its inner width and its head") {
  const auto base = load_base<presets::AnyMamba>(Reference::path_of("falcon_mamba"));
  const MambaDimensions& m = base->dimensions();
  CHECK(m.d_inner == 24);  // intermediate_size, not the 160 of expand
  CHECK(m.mixer_norm_epsilon == 1e-6);
  CHECK_FALSE(m.tied_head);
  CHECK(base->head().data != base->embedding().data);
  const TensorFile file = TensorFile::open(Reference::path_of("falcon_mamba") / "model.safetensors");
  CHECK(base->head()(22, 9) == file.read<float>("lm_head.weight").back());
  std::size_t values = 0;
  for (const std::string& name : file.names()) values += file.info(name).elements();
  CHECK(total_parameters(m) == values);

  const auto tied = load_base<OtherFalcon>(Reference::path_of("falcon_mamba_tied"));
  CHECK(tied->dimensions().tied_head);
  CHECK(tied->dimensions().mixer_norm_epsilon == 0.3);
  CHECK(std::as_const(*tied).head().data == std::as_const(*tied).embedding().data);
}
