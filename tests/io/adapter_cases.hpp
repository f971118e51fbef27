#pragma once

#include "support.hpp"
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/io/adapter.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>

// Adapters of tiny models: what their tests save, load and compare.

namespace sdlora_test {

using namespace sdlora;

inline constexpr const char* file_name = "adapter.safetensors";

template <class P, class C = TinyAny, class T = float>
MambaModel<C, P, T> trained(const AdapterOptions& options = some_options()) {
  return stirred_model<P, C, T>(tiny_dimensions, options);
}

template <class Model>
Model load(const test::Folder& folder, const MambaDimensions& m = tiny_dimensions) {
  using C = typename Model::config_type;
  using T = typename Model::value_type;
  return load_adapter<Model>(std::shared_ptr<const Base<C, T>>(rough_base<C, T>(m)), folder.path());
}

/// What was learned, and all that decides what it does, is the same in both.
template <class A, class B>
void check_same(const A& a, const B& b) {
  REQUIRE(a.parameters().entries().size() == b.parameters().entries().size());
  for (std::size_t i = 0; i < a.parameters().entries().size(); ++i) {
    const ParameterInfo& x = a.parameters().entries()[i];
    const ParameterInfo& y = b.parameters().entries()[i];
    CHECK(x.name == y.name);
    REQUIRE(x.rows == y.rows);
    REQUIRE(x.cols == y.cols);
    for (std::size_t j = 0; j < x.size(); ++j)
      REQUIRE(a.parameters().values(x)[j] == b.parameters().values(y)[j]);
  }
  CHECK(a.selection() == b.selection());
  CHECK(a.options().values() == b.options().values());
}

}  // namespace sdlora_test
