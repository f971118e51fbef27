#pragma once

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

#include "io/support.hpp"
#include "support/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sdlora_test {

/// A task that any model can learn: the answer to a token (between two others) is its double.
inline std::vector<sdlora::Example> doubling_task(std::size_t count, std::uint64_t seed = 1) {
  const sdlora::RandomStream random(seed, 5);
  std::vector<sdlora::Example> examples;
  for (std::size_t i = 0; i < count; ++i) {
    const auto digit = static_cast<std::int32_t>(random.below(i, 8));
    sdlora::Example example{{16, digit, 17, 2 * digit, 18}, {}};
    example.labels = {sdlora::ignored_label, sdlora::ignored_label, sdlora::ignored_label, 2 * digit, 18};
    if (i % 3 == 0) {  // not all of one length
      example.ids.insert(example.ids.begin(), 15);
      example.labels.insert(example.labels.begin(), sdlora::ignored_label);
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

using Ids = std::vector<std::int32_t>;

inline Ids random_ids(std::size_t length, std::uint64_t seed) {
  const sdlora::RandomStream random(seed, 23);
  Ids ids;
  for (std::size_t i = 0; i < length; ++i) ids.push_back(static_cast<std::int32_t>(random.below(i, 19)));
  return ids;
}

/// log p of ids[from …] each after all before, from the logits of the whole sequence.
template <class Model>
std::vector<double> by_logits(Model& model, const Ids& ids, std::size_t from) {
  sdlora::Batch batch;
  batch.add({ids, ids});
  const auto logits = model.logits(batch);
  std::vector<double> result;
  for (std::size_t t = from; t < ids.size(); ++t) {
    double sum = 0.0;
    for (std::size_t v = 0; v < 19; ++v) sum += std::exp(logits.matrix()(t - 1, v));
    result.push_back(logits.matrix()(t - 1, static_cast<std::size_t>(ids[t])) - std::log(sum));
  }
  return result;
}

/// A model of tiny size whose adapters do something.
template <class P>
auto stirred() {
  auto model = make_model<P, Tiny, double>(rough_base<Tiny, double>(tiny_dimensions));
  stir(model);
  return model;
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

template <class Model>
std::vector<typename Model::value_type> values_of(const Model& model) {
  const auto values = model.parameters().values();
  return {values.begin(), values.end()};
}

}  // namespace sdlora_test
