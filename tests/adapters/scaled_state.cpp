#include <sdlora/adapters/place.hpp>
#include <sdlora/adapters/scaled_state.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

static_assert(detail::can_sit_at<site::H0, ScaledState>() && detail::can_sit_at<site::Conv0, ScaledState>() &&
              !detail::can_sit_at<site::ALog, ScaledState>() &&
              !detail::can_sit_at<site::Embedding, ScaledState>());
static_assert(!Place<On<site::H0, ScaledState>>::mergeable);

TEST_CASE("scaled_state: the state is what learns times the scale; it decays") {
  constexpr SiteInfo site{"h0", SiteKind::State, {2, 3}};
  const AdapterOptions options{ScaledStateOptions{.state_scale = 0.5}};
  ParameterStore<double> store(6);
  const ScaledState::Element<double> state(store,
                                           {.name = "a", .site = site, .decay = false, .options = &options});
  CHECK(store.entries()[0].name == "a.state");
  CHECK(store.entries()[0].decay);
  Workspace workspace;
  const auto zero = state.values(workspace);
  for (std::size_t i = 0; i < 6; ++i) CHECK(zero.data[i] == 0.0);
  store.set_values(std::vector<double>{1, 2, 3, 4, 5, 6});
  const auto values = state.values(workspace);
  CHECK(values.rows == 2);
  CHECK(std::vector<double>(values.data, values.data + 6) == std::vector<double>{0.5, 1, 1.5, 2, 2.5, 3});
  const std::vector<double> d{2, 4, 6, 8, 10, 12};
  state.add_gradient(MatrixView<const double>(d.data(), 2, 3), workspace);
  CHECK(store.host_gradients() == std::vector<double>{1, 2, 3, 4, 5, 6});
  std::vector<double> target(6, 1.0);
  state.add_change(MatrixView<double>(target.data(), 2, 3), -1.0);
  CHECK(target == std::vector<double>{0.5, 0, -0.5, -1, -1.5, -2});

  SitePlace<double> outside{.name = "b", .site = site, .active = false, .options = &options};
  CHECK(!ScaledState::Element<double>(store, outside).values(workspace));
}

TEST_CASE("scaled_state: a scale of nothing is refused") {
  const AdapterOptions options{ScaledStateOptions{.state_scale = 0.0}};
  ParameterStore<double> store(6);
  CHECK_THROWS_WITH_AS(
      (ScaledState::Element<double>(
          store, {.name = "a", .site = {"h0", SiteKind::State, {2, 3}}, .options = &options})),
      doctest::Contains("expected a scale above 0, found 0; correct state_scale"), ArgumentError);
}
