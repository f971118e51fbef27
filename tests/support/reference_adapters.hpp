#pragma once

#include "numbers.hpp"
#include "reference_data.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

// Models on the reference's two_layers with an adapter of a dump.
namespace sdlora_test {

inline constexpr std::size_t layers = 2, R = 3, E = 26, N = 16;

template <class P, class T>
sdlora::MambaModel<sdlora::presets::AnyMamba, P, T> model_of(const sdlora::AdapterOptions& options,
                                                             const sdlora::Selection& selection = {}) {
  return {sdlora::load_base<sdlora::presets::AnyMamba, T>(Reference::path_of("two_layers")), selection,
          options};
}

template <class Model>
void set(Model& model, const std::string& name, const std::vector<double>& values) {
  CAPTURE(name);
  REQUIRE(set_values(model, name, values));
}

inline std::vector<double> rows_of(const std::vector<double>& matrix, std::size_t cols, std::size_t first,
                                   std::size_t count) {
  const auto begin = matrix.begin() + static_cast<std::ptrdiff_t>(first * cols);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * cols)};
}

template <class Model>
void compare_outputs(Model& model, const Reference& reference, double within) {
  const sdlora::Batch batch = reference.batch();
  CHECK(relative_error(Outputs(model, batch).logits, reference.read("logits")) <= within);
  const double expected = reference.number("loss");
  CHECK(std::abs(mean_loss_gradients(model, batch) - expected) <= within * expected);
}

template <class Model>
void compare_gradient(const Model& model, const std::string& ours, const std::vector<double>& expected,
                      double within) {
  CAPTURE(ours);
  CHECK(relative_error(joined_gradients(model, {ours}), expected) <= within);
}

}  // namespace sdlora_test
