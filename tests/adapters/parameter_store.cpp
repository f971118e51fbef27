#include <sdlora/adapters/parameter_store.hpp>
#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/evaluate.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace sdlora;

TEST_CASE("parameter_store: what a state learns carries its place") {
  struct {
    std::string name = "layers.4.here";
    struct {
      std::string_view name = "here";
    } site;
    std::optional<std::size_t> layer = 4;
    bool decay = true;
  } place;
  ParameterStore<double> store(30);
  const Learned<double> part = store.add(place, ".part", 3, 2);
  CHECK(part.value.rows == 3);
  CHECK(part.gradient.cols == 2);
  place.layer.reset();
  place.decay = false;
  store.add(place, "", 1, 5);
  store.add("other", "there", 1, 1, true, 7);
  store.add("another", "there", 1, 1, true);
  const std::vector<ParameterInfo>& entries = store.entries();
  REQUIRE(entries.size() == 4);
  CHECK(entries[0].name == "layers.4.here.part");
  CHECK(entries[0].site == "here");
  CHECK(entries[0].decay);
  CHECK(entries[0].layer == 4);
  CHECK(entries[1].name == "layers.4.here");
  CHECK(!entries[1].decay);
  CHECK(!entries[1].layer);
  CHECK(entries[1].offset == 6);
  CHECK(entries[2].layer == 7);
  CHECK(!entries[3].layer);
}

TEST_CASE("parameter_store: parameters lie one after another, values and gradients apart") {
  ParameterStore<float> store(23);
  CHECK(store.size() == 0);
  CHECK(store.capacity() == 23);
  const Learned<float> a = store.add("a", "site_a", 3, 5, true);
  const Learned<float> b = store.add("b", "site_b", 1, 7, false);
  CHECK(store.size() == 22);
  CHECK(store.values().size() == 22);
  CHECK(reinterpret_cast<std::uintptr_t>(store.values().data()) % alignment == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(store.gradients().data()) % alignment == 0);
  REQUIRE(static_cast<bool>(a));
  for (const float v : store.values()) CHECK(v == 0.0F);
  for (const float g : store.gradients()) CHECK(g == 0.0F);

  a.value(2, 4) = 1.0F;
  b.value(0, 0) = 2.0F;
  b.gradient(0, 6) = 3.0F;
  CHECK(store.values()[14] == 1.0F);
  CHECK(store.values()[15] == 2.0F);
  CHECK(store.gradients()[21] == 3.0F);
  REQUIRE(store.find("b") != nullptr);
  const ParameterInfo& info = *store.find("b");
  CHECK(info.site == "site_b");
  CHECK(info.rows == 1);
  CHECK(info.cols == 7);
  CHECK(info.offset == 15);
  CHECK(!info.decay);
  CHECK(store.find("a")->decay);
  CHECK(store.values(info)[0] == 2.0F);
  CHECK(std::as_const(store).gradients(info)[6] == 3.0F);
  CHECK(store.find("c") == nullptr);

  store.zero_gradients();
  CHECK(store.gradients()[21] == 0.0F);
  CHECK(store.values()[15] == 2.0F);
}

TEST_CASE_TEMPLATE("parameter_store: all values and gradients as copies, on any device", Device, Cpu,
                   Emulated) {
  ParameterStore<float, Device> store(7);
  const Learned<float, Device> a = store.add("a", "s", 2, 1, true), b = store.add("b", "s", 1, 3, true);
  CHECK(store.host_values() == std::vector<float>(5, 0.0F));
  CHECK(store.host_gradients() == std::vector<float>(5, 0.0F));
  CHECK(store.value_row().cols == 5);
  CHECK(std::as_const(store).gradient_row().cols == 5);
  store.set_values(std::vector<float>{1, 2, 3, 4, 5});
  assign(a.gradient, 2.0F * a.value);
  assign(b.gradient, -1.0F * b.value);
  assign<AssignMode::Add>(store.value_row(), store.gradient_row());
  CHECK(store.host_gradients() == std::vector<float>{2, 4, -3, -4, -5});
  CHECK(store.host_values() == std::vector<float>{3, 6, 0, 0, 0});
  store.zero_gradients();
  CHECK(store.host_gradients() == std::vector<float>(5, 0.0F));
  CHECK_THROWS_WITH_AS(store.set_values(std::vector<float>(7)),
                       doctest::Contains("expected 5 values, found 7"), ShapeError);
  CHECK(store.host_values() == std::vector<float>{3, 6, 0, 0, 0});
}

TEST_CASE("parameter_store: an empty one, and one that is full") {
  ParameterStore<double> none(0);
  CHECK(none.values().empty());
  CHECK(!Learned<double>{});
  none.zero_gradients();
  ParameterStore<double> store(6);
  store.add("a", "s", 2, 3, true);
  CHECK_THROWS_WITH_AS(store.add("layers.1.extra", "s", 1, 1, true),
                       doctest::Contains("layers.1.extra does not fit: room for 6 values, 7 needed"),
                       ShapeError);
}

TEST_CASE("parameter_store: views stay valid when it moves") {
  ParameterStore<double> store(4);
  const Learned<double> a = store.add("a", "s", 2, 2, true);
  const ParameterStore<double> moved = std::move(store);
  a.value(1, 1) = 5.0;
  CHECK(moved.values()[3] == 5.0);
}

TEST_CASE("parameter_store: what does not learn is found by its key") {
  ParameterStore<double> store(4);
  const auto value = [](std::size_t i) { return static_cast<double>(i); };
  CHECK(!store.find_constant("layers.1.A"));
  store.constant("layers.1.A", 2, 3, value);
  store.constant("layers.10.A", 1, 1, value);
  const MatrixView<const double> found = std::as_const(store).find_constant("layers.1.A");
  CHECK(found.rows == 2);
  CHECK(found.cols == 3);
  CHECK(found(1, 2) == 5.0);
  CHECK(!store.find_constant("layers.1."));
  CHECK(!store.find_constant("layers.2.A"));
}

TEST_CASE("parameter_store: sizes that no memory holds are refused") {
  const volatile std::size_t most = std::numeric_limits<std::size_t>::max();  // not to be warned of
  const std::size_t half = std::size_t{1} << 32, huge = most;
  CHECK_THROWS_AS(ParameterStore<double>{huge}, ShapeError);
  CHECK_THROWS_AS(ParameterStore<float>{huge / 4 + 1}, ShapeError);
  ParameterStore<float> store(6);
  store.add("a", "s", 1, 4, true);
  CHECK_THROWS_AS(store.add("b", "s", half, half, true), ShapeError);
  CHECK_THROWS_AS(store.add("b", "s", huge, 1, true), ShapeError);
  CHECK(store.entries().size() == 1);
  CHECK(store.size() == 4);
}
