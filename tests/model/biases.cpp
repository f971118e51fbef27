// Mamba with biases of in_proj and out_proj against Hugging Face's, in sizes of its own. Biases never learn.
#include "support/reference_models.hpp"

#include <sdlora/model/fingerprint.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// The sizes of the dump.
struct Biased {
  static constexpr MambaConfig config{.dt_rank = 2, .d_state = 5, .d_conv = 2, .expand = 3};
};

}  // namespace

TEST_CASE("Hugging Face's Mamba with biases") {
  compare_model<double, Biased>("biases", 1e-11, 1e-9);
  compare_model<float, Biased>("biases", 1e-5, 1e-4);
  // With 5 states and a convolution of 2 read at run time.
  compare_model<double>("biases", 1e-11, 1e-9);
}

TEST_CASE("biases are counted and named, and no adapter changes them") {
  const auto base = load_base<Biased>(Reference::path_of("biases"));
  const MambaDimensions& m = base->dimensions();
  CHECK(m.use_bias);
  const TensorFile file = TensorFile::open(Reference::path_of("biases") / "model.safetensors");
  CHECK(base->layer(1).in_proj_bias(0, 35) ==
        file.read<float>("backbone.layers.1.mixer.in_proj.bias").back());
  std::size_t values = 0;
  for (const std::string& name : file.names()) values += file.info(name).elements();
  CHECK(total_parameters(m) == values);

  Base<Biased> changed(*base);
  changed.layer(0).out_proj_bias(0, 3) += 1.0F;
  CHECK(fingerprint(changed) != fingerprint(*base));

  MambaModel<Biased, presets::FullFineTune> model(base);
  for (float& value : model.parameters().values()) value += 0.5F;
  const auto merged = model.merged();
  CHECK(merged->layer(1).in_proj(0, 0) == base->layer(1).in_proj(0, 0) + 0.5F);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(merged->layer(1).out_proj_bias(0, i) == base->layer(1).out_proj_bias(0, i));
  }
}

TEST_CASE("a model starts its pre-training with biases of zero") {
  MambaDimensions m{
      .d_model = 7, .n_layer = 2, .vocab_size = 11, .dt_rank = 2, .d_inner = 21, .d_state = 5, .d_conv = 2};
  const auto without = Base<Biased>::random(m, 4);
  CHECK_FALSE(without.layer(0).in_proj_bias);
  m.use_bias = true;
  const auto with = Base<Biased>::random(m, 4);
  CHECK(with.layer(1).in_proj_bias(0, 41) == 0.0F);
  CHECK(with.layer(1).out_proj(3, 4) == without.layer(1).out_proj(3, 4));  // of the same seed, the same
}
