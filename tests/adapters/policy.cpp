#include "support/numbers.hpp"

#include <sdlora/adapters/policy.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

static_assert(AdapterPolicy<Frozen> && AdapterPolicy<Full> && !AdapterPolicy<int>);
static_assert(Frozen::count({3, 4}, {}) == 0 && Full::count({3, 4}, {}) == 12);

struct NotEmpty : Full {
  int state = 0;
};
static_assert(!AdapterPolicy<NotEmpty>);  // state belongs into the nested templates

struct Fixture {
  std::vector<double> base = Normals(1).vector<double>(12);
  AdapterOptions options;
  ParameterStore<double> store{12};
  SitePlace<double> place(bool active = true) const {
    return {.name = "layers.0.D",
            .site = "D",
            .active = active,
            .base = MatrixView<const double>(base.data(), 3, 4),
            .shape = {3, 4},
            .decay = false,
            .options = &options};
  }
};

}  // namespace

TEST_CASE("policy: frozen values are the base's own and nothing is learned") {
  Fixture f;
  const Frozen::Element<double> element(f.store, f.place());
  const Frozen::Linear<double> linear(f.store, f.place());
  CHECK(f.store.entries().empty());
  CHECK(element.values().data == f.base.data());
  CHECK(linear.weight().data == f.base.data());
  CHECK(!element.active());
  CHECK(!element.gradient());
}

TEST_CASE("policy: full learns a copy that begins at the base") {
  Fixture f;
  const Full::Element<double> element(f.store, f.place());
  REQUIRE(f.store.entries().size() == 1);
  CHECK(f.store.entries()[0].name == "layers.0.D");
  CHECK(!f.store.entries()[0].decay);
  CHECK(element.active());
  CHECK(element.values().data == f.store.values().data());
  CHECK(std::equal(f.base.begin(), f.base.end(), f.store.values().begin()));

  f.store.values()[5] += 2.0;
  std::vector<double> target(12, 1.0);
  element.add_change(MatrixView<double>(target.data(), 3, 4), -1.0);
  CHECK(target[5] == doctest::Approx(-1.0));
  CHECK(target[4] == 1.0);
}

TEST_CASE("policy: full outside of its layers is the base") {
  Fixture f;
  const Full::Linear<double> linear(f.store, f.place(false));
  CHECK(f.store.size() == 0);
  CHECK(!linear.active());
  CHECK(linear.weight().data == f.base.data());
  std::vector<double> target(12, 1.0), x(8, 1.0), d_y(6, 1.0);
  linear.add_change(MatrixView<double>(target.data(), 3, 4), 1.0);
  CHECK(target == std::vector<double>(12, 1.0));
  Workspace workspace;
  linear.backward(MatrixView<const double>(x.data(), 2, 4), MatrixView<const double>(d_y.data(), 2, 3), {},
                  {}, workspace);
}

TEST_CASE("policy: a state that checkpoints lack begins at zero") {
  Fixture f;
  SitePlace<double> place = f.place();
  place.base = {};
  const Full::Element<double> element(f.store, place);
  CHECK(element.active());
  for (const double v : f.store.values()) CHECK(v == 0.0);
}
