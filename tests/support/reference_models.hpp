#pragma once

#include "instances.hpp"
#include "numbers.hpp"
#include "reference_data.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

// Whole models beside what Hugging Face computed of them.
namespace sdlora_test {

/// The parameters here that together are one tensor of Hugging Face's.
struct Stored {
  const char* hugging_face;
  std::vector<std::string> ours;
};
inline const std::vector<Stored>& layer_tensors() {
  static const std::vector<Stored> tensors{{"norm.weight", {"norm"}},
                                           {"mixer.A_log", {"A_log"}},
                                           {"mixer.D", {"D"}},
                                           {"mixer.conv1d.weight", {"conv1d"}},
                                           {"mixer.conv1d.bias", {"conv_bias"}},
                                           {"mixer.in_proj.weight", {"in_proj_x", "in_proj_z"}},
                                           {"mixer.x_proj.weight", {"x_proj_dt", "x_proj_B", "x_proj_C"}},
                                           {"mixer.dt_proj.weight", {"dt_proj"}},
                                           {"mixer.dt_proj.bias", {"dt_bias"}},
                                           {"mixer.out_proj.weight", {"out_proj"}}};
  return tensors;
}

/// Logits, loss, states and every gradient under FullFineTune of a dumped model, in models of type C.
template <class T, class C = sdlora::presets::AnyMamba>
void compare_model(const std::string& folder, double outputs_within, double gradients_within) {
  CAPTURE(folder);
  const Reference reference(folder);
  const sdlora::Batch batch = reference.batch();
  sdlora::MambaModel<C, sdlora::presets::FullFineTune, T> model(
      sdlora::load_base<C, T>(Reference::path_of(folder)));

  const Outputs outputs(model, batch);
  CHECK(relative_error(outputs.logits, reference.read("logits")) <= outputs_within);
  for (std::size_t l = 0; l < model.dimensions().n_layer; ++l) {
    const std::string layer = std::to_string(l);
    CHECK(relative_error(outputs.states[l], reference.read("final_state." + layer)) <= outputs_within);
    CHECK(relative_error(outputs.windows[l], reference.read("final_window." + layer)) <= outputs_within);
  }

  const double expected = reference.number("loss");
  CHECK(std::abs(mean_loss_gradients(model, batch) - expected) <= outputs_within * expected);
  CHECK(std::abs(model.loss(batch).mean() - expected) <= outputs_within * expected);
  const auto check = [&](const std::string& name, const std::vector<std::string>& ours) {
    CAPTURE(name);
    CHECK(relative_error(joined_gradients(model, ours), reference.read("grad." + name)) <= gradients_within);
  };
  check("backbone.embeddings.weight", {"embedding"});
  check("backbone.norm_f.weight", {"norm_f"});
  std::size_t compared = 2;
  for (std::size_t l = 0; l < model.dimensions().n_layer; ++l) {
    for (const Stored& tensor : layer_tensors()) {
      std::vector<std::string> ours;
      for (const std::string& name : tensor.ours) ours.push_back("layers." + std::to_string(l) + "." + name);
      compared += ours.size();
      check("backbone.layers." + std::to_string(l) + "." + tensor.hugging_face, ours);
    }
  }
  CHECK(compared == model.parameters().entries().size());  // nothing is left out
}

}  // namespace sdlora_test
