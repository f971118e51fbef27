#pragma once

#include "finite_differences.hpp"
#include "tiny_models.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

// The gradients of a model's placement against finite differences in double.
namespace sdlora_test {

/// Every gradient of a model: each learned tensor of every layer, on sequences of several lengths.
template <class Model>
void check_model_gradients(Model& model, const sdlora::Pass& pass = {.training = true, .step = 1}) {
  const sdlora::Batch batch = some_batch({7, 1, 5}, model.dimensions().vocab_size);
  const double scale = 0.5;
  model.parameters().zero_gradients();
  const sdlora::Loss first = model.accumulate_gradients(batch, scale, pass);
  const std::span<const double> all = model.parameters().gradients();
  const std::vector<double> gradients(all.begin(), all.end());
  const bool drops = pass.training && model.options().template of<sdlora::LoRAOptions>().dropout > 0.0;
  if (!drops) CHECK(first.sum == doctest::Approx(model.loss(batch).sum).epsilon(1e-13));
  const auto loss = [&] {  // with dropout only the training pass has the same function
    return scale * (drops ? model.accumulate_gradients(batch, scale, pass) : model.loss(batch)).sum;
  };
  REQUIRE(!model.parameters().entries().empty());
  for (const sdlora::ParameterInfo& entry : model.parameters().entries()) {
    check_gradient(entry.name, model.parameters().values(entry),
                   std::span<const double>(gradients).subspan(entry.offset, entry.size()), loss);
  }
}

/// The gradients of a placement on a tiny model.
template <class P>
void check_placement_gradients(const sdlora::AdapterOptions& options = some_options()) {
  auto model = stirred_model<P>(tiny_dimensions, options);
  check_model_gradients(model);
}

}  // namespace sdlora_test
