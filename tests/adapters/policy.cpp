#include "support/device_matrices.hpp"
#include "support/numbers.hpp"

#include <sdlora/adapters/policy.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

static_assert(AdapterPolicy<Frozen> && AdapterPolicy<Full> && !AdapterPolicy<int>);
static_assert(Frozen::count({"D", SiteKind::ElementWise, {3, 4}}, {}) == 0 &&
              Full::count({"D", SiteKind::ElementWise, {3, 4}}, {}) == 12);

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
            .site = {"D", SiteKind::ElementWise, {3, 4}},
            .active = active,
            .base = MatrixView<const double>(base.data(), 3, 4),
            .decay = false,
            .options = &options};
  }
};

/// Values that learn as a whole, on any device: as they begin, their change, a linear site's gradient.
template <class Device>
Results whole_values() {
  DeviceNormals<Device> normals(5);
  const auto base = normals.matrix(3, 6), x = normals.matrix(7, 4), d_y = normals.matrix(7, 3);
  auto target = normals.matrix(3, 4), lacking = normals.matrix(3, 4);
  const AdapterOptions options;
  ParameterStore<float, Device> store(36);
  SitePlace<float, Device> place{.name = "a",
                                 .site = {"D", SiteKind::ElementWise, {3, 4}},
                                 .base = base.matrix().cols_from(1, 4),
                                 .options = &options};
  const Full::Element<float, Device> element(store, place);
  const Full::Linear<float, Device> linear(store, place);
  CHECK(Frozen::Element<float, Device>(store, place).values().data == place.base.data);
  place.base = {};
  const Full::Element<float, Device> begun_at_zero(store, place);
  const std::vector<float> initial = store.host_values();
  std::vector<float> values = initial;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.125F * static_cast<float>(i);
  store.set_values(values);
  WorkspaceOn<Device> workspace;
  for (int i = 0; i < 2; ++i) linear.backward(x.matrix(), d_y.matrix(), {}, {}, workspace);
  element.add_change(target.matrix(), -1.0F);
  begun_at_zero.add_change(lacking.matrix(), 3.0F);
  return {initial, host_values(target), host_values(lacking), store.host_gradients()};
}

}  // namespace

TEST_CASE("policy: the emulated device's learned values, changes and gradients are the host's") {
  check_results(whole_values<Emulated>(), whole_values<Cpu>());
}

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
