#pragma once

#include "instances.hpp"
#include "numbers.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/model/mamba_model.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Small models with weights that all matter, and batches for them.
namespace sdlora_test {

/// Odd sizes: E = 20 is no multiple of a vector, R and V are primes.
struct Tiny {
  static constexpr sdlora::MambaConfig config{.d_model = 10, .n_layer = 2, .vocab_size = 19, .dt_rank = 3};
};
/// Falcon-Mamba of the same sizes: norms of dt, B and C to which ε matters, and a head of its own.
struct TinyFalcon {
  static constexpr sdlora::MambaConfig config{.d_model = 10,
                                              .n_layer = 2,
                                              .vocab_size = 19,
                                              .dt_rank = 3,
                                              .mixer_norm_epsilon = 0.05,
                                              .tied_head = false};
};
/// The same with every size left to run time.
struct TinyAny {
  static constexpr sdlora::MambaConfig config{.dt_rank = sdlora::dyn};
};

inline constexpr sdlora::MambaDimensions tiny_dimensions = sdlora::dimensions(Tiny::config);

/// The same sizes with another number of layers.
constexpr sdlora::MambaDimensions tiny_with_layers(std::size_t layers) {
  sdlora::MambaDimensions m = tiny_dimensions;
  m.n_layer = layers;
  return m;
}

/// A base whose every weight matters: larger and less regular than at its initialisation.
template <class C, class T>
std::shared_ptr<sdlora::Base<C, T>> rough_base(const sdlora::MambaDimensions& m, std::uint64_t seed = 1) {
  auto base = std::make_shared<sdlora::Base<C, T>>(m);
  Normals normals(seed);
  base->visit([&](const std::string& name, sdlora::MatrixView<T> view, const auto& shape) {
    const std::span<T> values(view.data, view.rows * view.cols);
    const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (is("norm")) {
      normals.fill(values, 0.3, 1.0);
    } else if (is("A_log")) {
      normals.fill(values, 0.8, 0.3);
    } else if (is("dt_proj.bias")) {
      normals.fill(values, 1.0, -1.0);
    } else if (is("conv1d.weight")) {
      normals.fill(values, 0.6);
    } else if (is("conv1d.bias")) {
      normals.fill(values, 0.3);
    } else if (is("mixer.D")) {
      normals.fill(values, 1.0);
    } else if (is("embeddings")) {
      normals.fill(values, 0.5);
    } else {  // the projections
      normals.fill(values, 1.2 / std::sqrt(static_cast<double>(shape.back())));
    }
  });
  base->finish();
  return base;
}

/// Different channels and states in every layer.
inline sdlora::Selection some_selection(const sdlora::MambaDimensions& m, std::size_t channels,
                                        std::size_t states) {
  sdlora::Selection selection{m.d_inner, m.d_state, {}};
  Normals normals(77);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    const std::vector<double> change = normals.vector<double>(m.d_inner * m.d_state);
    selection.layers.push_back(sdlora::select_layer(
        sdlora::MatrixView<const double>(change.data(), m.d_inner, m.d_state), channels, states));
  }
  return selection;
}

inline sdlora::Selection selection_for(const sdlora::MambaDimensions& m,
                                       const sdlora::AdapterOptions& options) {
  const auto sizes = options.of<sdlora::SelectedOptions>();
  return some_selection(m, sizes.channels, sizes.states);
}

/// Sequences of the given lengths; about a fifth of the labels are ignored.
inline std::vector<sdlora::Example> some_examples(const std::vector<std::size_t>& lengths,
                                                  std::size_t vocab_size, std::uint64_t seed = 5) {
  const sdlora::RandomStream random(seed, 17);
  std::uint64_t next = 0;
  std::vector<sdlora::Example> examples;
  for (const std::size_t length : lengths) {
    sdlora::Example example;
    for (std::size_t t = 0; t < length; ++t) {
      example.ids.push_back(static_cast<std::int32_t>(random.below(next++, vocab_size)));
      const bool ignored = random.uniform(next++) < 0.2;
      example.labels.push_back(ignored ? sdlora::ignored_label
                                       : static_cast<std::int32_t>(random.below(next++, vocab_size)));
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

inline sdlora::Batch some_batch(const std::vector<std::size_t>& lengths, std::size_t vocab_size = 19,
                                std::uint64_t seed = 5) {
  return sdlora::Batch(some_examples(lengths, vocab_size, seed));
}

/// The sizes that the tests give to placements of dynamic ones.
inline sdlora::AdapterOptions some_options() {
  return {sdlora::LoRAOptions{.rank = 2, .alpha = 3.0}, sdlora::SelectedOptions{.channels = 3, .states = 2},
          sdlora::RowsOptions{.prompt_length = 3}};
}

/// A model with a selection where its placement wants one.
template <class P, class C, class T>
sdlora::MambaModel<C, P, T> make_model(std::shared_ptr<const sdlora::Base<C, T>> base,
                                       sdlora::AdapterOptions options = some_options()) {
  if constexpr (P::selects) {
    sdlora::Selection selection = selection_for(base->dimensions(), options);
    return sdlora::MambaModel<C, P, T>(std::move(base), std::move(selection), std::move(options));
  } else {
    return sdlora::MambaModel<C, P, T>(std::move(base), std::move(options));
  }
}

/// Moves every learned value, so that no adapter is at its initial, often zero, function.
template <class Model>
void stir(Model& model, double scale = 0.2, std::uint64_t seed = 3) {
  Normals normals(seed);
  for (auto& value : model.parameters().values()) {
    value += static_cast<typename Model::value_type>(scale * normals.next());
  }
}

/// A model of the placement on a rough base, moved away from its beginning.
template <class P, class C = Tiny, class T = double>
sdlora::MambaModel<C, P, T> stirred_model(const sdlora::MambaDimensions& m = tiny_dimensions,
                                          const sdlora::AdapterOptions& options = some_options()) {
  auto model = make_model<P, C, T>(std::shared_ptr<const sdlora::Base<C, T>>(rough_base<C, T>(m)), options);
  stir(model);
  return model;
}

}  // namespace sdlora_test
