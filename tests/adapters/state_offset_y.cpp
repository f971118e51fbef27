#include <sdlora/adapters/state_offset_y.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

TEST_CASE("state_offset_y: one offset for every token, nothing at first, whatever the scan's inputs") {
  constexpr std::size_t E = 3, M = 4;
  constexpr SiteInfo site{"scan", SiteKind::Scan, {E, 2}};
  static_assert(StateOffsetY::count(site, {}) == E);
  static_assert(!StateOffsetY::reads.u && !StateOffsetY::reads.dt && !StateOffsetY::reads.B &&
                !StateOffsetY::reads.C);
  const AdapterOptions options;
  ParameterStore<double> store(E);
  const StateOffsetY::Scan<double> state(store, {.name = "a", .site = site, .options = &options});
  CHECK(store.entries()[0].name == "a.offset");
  CHECK(!store.entries()[0].decay);
  std::vector<double> y(M * E, 1.0);
  const MatrixView<double> to(y.data(), M, E);
  Workspace workspace;
  state.add({}, to, workspace);
  for (const double v : y) CHECK(v == 1.0);
  store.set_values(std::vector<double>{1, -2, 3});
  state.add({}, to, workspace);
  for (std::size_t i = 0; i < M; ++i) {
    CHECK(to(i, 0) == 2.0);
    CHECK(to(i, 1) == -1.0);
    CHECK(to(i, 2) == 4.0);
  }
  std::vector<double> d_y;
  for (std::size_t i = 0; i < M * E; ++i) d_y.push_back(static_cast<double>(i));
  state.backward({}, MatrixView<const double>(d_y.data(), M, E), {}, workspace);
  state.backward({}, MatrixView<const double>(d_y.data(), M, E), {}, workspace);
  CHECK(store.host_gradients() == std::vector<double>{36, 44, 52});  // twice the sums of the columns
  SitePlace<double> outside{.name = "b", .site = site, .active = false, .options = &options};
  CHECK(!StateOffsetY::Scan<double>(store, outside).active());
}
