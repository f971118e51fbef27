#include "support/finite_differences.hpp"

#include <sdlora/adapters/lora.hpp>
#include <sdlora/adapters/low_rank.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t V = 11, d = 5, r = 2;

struct Fixture {
  std::vector<double> base = Normals(1).vector<double>(V * d);
  AdapterOptions options;
  ParameterStore<double> store{r * (V + d)};
  explicit Fixture(AdapterOptions o) : options(std::move(o)) {}
  SitePlace<double> place(SiteKind kind, bool has_base = true) const {
    return {.name = "here",
            .site = {"here", kind, {V, d}},
            .base = has_base ? MatrixView<const double>(base.data(), V, d) : MatrixView<const double>(),
            .options = &options};
  }
  std::vector<double> changed(const auto& state) const {
    std::vector<double> w = base;
    state.add_change(MatrixView<double>(w.data(), V, d), 1.0);
    return w;
  }
};

}  // namespace

TEST_CASE("low_rank: B learns at a rate of its own (LoRA+), both decay as their place says") {
  Fixture f(AdapterOptions{LoRAOptions{.rank = r, .rate_ratio = 16.0}});
  const LoRA<>::Linear<double> state(f.store, f.place(SiteKind::Linear));
  CHECK(state.rank() == r);
  CHECK(f.store.find("here.lora_A")->rate_factor == 1.0);
  CHECK(f.store.find("here.lora_B")->rate_factor == 16.0);
  CHECK(f.store.find("here.lora_B")->decay);
}

TEST_CASE("low_rank: values that are used one by one, and their gradient") {
  Fixture f(AdapterOptions{LoRAOptions{.rank = r, .alpha = 3.0}});
  const LoRA<>::Element<double> state(f.store, f.place(SiteKind::ElementWise));
  Normals normals(2);
  normals.fill(f.store.values(), 1.0);
  Workspace workspace;
  const auto values = state.values(workspace);
  const std::vector<double> found(values.data, values.data + V * d);
  CHECK(relative_error(found, f.changed(state)) <= 1e-15);

  const auto d_values = normals.vector<double>(V * d);
  state.add_gradient(MatrixView<const double>(d_values.data(), V, d), workspace);
  const auto loss = [&] {
    const WorkspaceScope scope(workspace);
    const auto now = state.values(workspace);
    double sum = 0.0;
    for (std::size_t i = 0; i < V * d; ++i) sum += now.data[i] * d_values[i];
    return sum;
  };
  for (const ParameterInfo& entry : f.store.entries()) {
    check_gradient(entry.name, f.store.values(entry), f.store.gradients(entry), loss);
  }
}

TEST_CASE("low_rank: a state that checkpoints lack begins at zero") {
  Fixture f(AdapterOptions{LoRAOptions{.rank = r}});
  const LoRA<>::Element<double> state(f.store, f.place(SiteKind::State, false));
  Workspace workspace;
  const auto values = state.values(workspace);
  for (std::size_t i = 0; i < V * d; ++i) REQUIRE(values.data[i] == 0.0);
}

TEST_CASE(
    "low_rank: rows of an embedding, ids that stand twice, and a head that is the base's where asked for") {
  for (const bool lookup_only : {false, true}) {
    CAPTURE(lookup_only);
    Fixture f(AdapterOptions{LoRAOptions{.rank = r, .alpha = 3.0, .lookup_only = lookup_only}});
    const LoRA<>::Embedding<double> state(f.store, f.place(SiteKind::Embedding));
    Normals normals(2);
    normals.fill(f.store.values(), 1.0);
    const std::vector<std::int32_t> ids{3, 10, 3, 0};
    const MatrixView<const std::int32_t> id_row(ids.data(), 1, ids.size());
    Workspace workspace;
    std::vector<double> x(ids.size() * d);
    const MatrixView<double> rows(x.data(), ids.size(), d);
    state.lookup(id_row, rows, workspace);
    const std::vector<double> w = f.changed(state);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::size_t j = 0; j < d; ++j) {
        REQUIRE(rows(i, j) == doctest::Approx(w[static_cast<std::size_t>(ids[i]) * d + j]).epsilon(1e-13));
      }
    }
    const auto d_x = normals.vector<double>(ids.size() * d);
    state.lookup_backward(id_row, MatrixView<const double>(d_x.data(), ids.size(), d), workspace);
    const auto loss = [&] {
      state.lookup(id_row, rows, workspace);
      double sum = 0.0;
      for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * d_x[i];
      return sum;
    };
    for (const ParameterInfo& entry : f.store.entries()) {
      check_gradient(entry.name, f.store.values(entry), f.store.gradients(entry), loss);
    }
    const auto h = normals.vector<double>(3 * d);
    std::vector<double> logits(3 * V, 0.0);
    state.forward(MatrixView<const double>(h.data(), 3, d), MatrixView<double>(logits.data(), 3, V), {},
                  workspace);
    for (const double logit : logits) CHECK((logit == 0.0) == lookup_only);
    CHECK(state.unmergeable_if_tied().empty() != lookup_only);
  }
}

TEST_CASE("low_rank: options out of range") {
  const auto refuses = [](LoRAOptions options, const char* text) {
    Fixture f(AdapterOptions{options});
    CHECK_THROWS_WITH_AS((LoRA<>::Linear<double>(f.store, f.place(SiteKind::Linear))),
                         doctest::Contains(text), ArgumentError);
  };
  refuses({.rate_ratio = 0.0}, "expected a ratio above 0, found 0; correct rate_ratio");
  refuses({.rank = 0}, "expected a rank of at least 1, found 0");
}
