#pragma once

#include "reference_file.hpp"

#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/layers/mamba/state.hpp>
#include <sdlora/model/batch.hpp>
#include <sdlora/model/mamba_state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Models beside what Hugging Face computed of them: see tests/reference/README.md.
namespace sdlora_test {

/// The dump of a model or adapter.
class Reference : public ReferenceFile {
 public:
  using ReferenceFile::ReferenceFile;

  /// The right-padded rows of the dump as a packed batch.
  sdlora::Batch batch() const {
    const auto narrow = [&](const char* name) {
      const std::vector<std::int64_t> wide = integers(name);
      std::vector<std::int32_t> values(wide.size());
      std::transform(wide.begin(), wide.end(), values.begin(),
                     [](auto v) { return static_cast<std::int32_t>(v); });
      return values;
    };
    std::vector<std::size_t> lengths;
    for (const std::int64_t length : integers("lengths")) lengths.push_back(static_cast<std::size_t>(length));
    return sdlora::Batch::from_padded(narrow("input_ids"), narrow("labels"), lengths);
  }
};

/// What a model says of a batch: logits of every token, and the state behind every sequence.
template <class Model>
struct Outputs {
  std::vector<double> logits;                // (M, V)
  std::vector<std::vector<double>> states;   // per layer (S, E, N)
  std::vector<std::vector<double>> windows;  // per layer (S, E, K − 1), as the dumps hold them

  Outputs(Model& model, const sdlora::Batch& batch, typename Model::state_type state) {
    using T = typename Model::value_type;
    const sdlora::MambaDimensions& m = model.dimensions();
    std::vector<T> values(batch.tokens() * m.vocab_size);
    model.forward(batch.ids(), batch.sequences(), state,
                  sdlora::MatrixView<T>(values.data(), batch.tokens(), m.vocab_size));
    logits.assign(values.begin(), values.end());
    const std::size_t S = state.sequences(), K1 = m.d_conv - 1, E = m.d_inner;
    for (std::size_t l = 0; l < m.n_layer; ++l) {
      const sdlora::BlockState<T> layer = state.layer(l);
      states.emplace_back(layer.h.data, layer.h.data + S * E * m.d_state);
      std::vector<double> window(S * E * K1);
      for (std::size_t s = 0; s < S; ++s) {
        for (std::size_t e = 0; e < E; ++e) {
          for (std::size_t k = 0; k < K1; ++k) {
            window[(s * E + e) * K1 + k] = static_cast<double>(layer.window(s, k * E + e));
          }
        }
      }
      windows.push_back(std::move(window));
    }
  }
  Outputs(Model& model, const sdlora::Batch& batch)
      : Outputs(model, batch, model.initial_state(batch.sequences().count())) {}
};

/// The gradients of the mean loss over the targets, as the dumps have them. Returns that loss.
template <class Model>
double mean_loss_gradients(Model& model, const sdlora::Batch& batch) {
  model.parameters().zero_gradients();
  return model.accumulate_gradients(batch, 1.0 / static_cast<double>(batch.loss_tokens())).mean();
}

/// The values, or gradients, of several parameters one after another.
template <class Model>
std::vector<double> joined_gradients(const Model& model, const std::vector<std::string>& names) {
  std::vector<double> all;
  for (const std::string& name : names) {
    const sdlora::ParameterInfo* entry = model.parameters().find(name);
    if (entry == nullptr) return {};
    const auto part = model.parameters().gradients(*entry);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// Sets a parameter's values. False where it does not exist or is of another size.
template <class Model>
bool set_values(Model& model, const std::string& name, std::span<const double> values) {
  const sdlora::ParameterInfo* entry = model.parameters().find(name);
  if (entry == nullptr || entry->size() != values.size()) return false;
  std::transform(values.begin(), values.end(), model.parameters().values(*entry).begin(),
                 [](double v) { return static_cast<typename Model::value_type>(v); });
  return true;
}

}  // namespace sdlora_test
