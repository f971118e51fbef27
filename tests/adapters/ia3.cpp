#include <sdlora/adapters/ia3.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

TEST_CASE("ia3: begins at ones, which weight decay leaves alone, and scales rows") {
  std::vector<double> base{1, 2, 3, 4, 5, 6};
  const AdapterOptions options;
  ParameterStore<double> store(3);
  const IA3::Linear<double> state(store, {.name = "a",
                                          .site = {"out_proj", SiteKind::Linear, {3, 2}},
                                          .base = MatrixView<const double>(base.data(), 3, 2),
                                          .options = &options});
  CHECK(!store.entries()[0].decay);
  for (const double l : store.values()) CHECK(l == 1.0);
  store.values()[1] = 3.0;
  Workspace workspace;
  std::vector<double> y{1, 1, 1}, kept(3, 0.0), target(6, 0.0);
  const MatrixView<double> row(y.data(), 1, 3);
  state.forward({}, row, MatrixView<double>(kept.data(), 1, 3), {}, workspace);
  CHECK(y == std::vector<double>{1, 3, 1});
  CHECK(kept == std::vector<double>{1, 1, 1});
  state.forward({}, row, {}, {}, workspace);  // where no backward follows nothing is kept
  CHECK(y == std::vector<double>{1, 9, 1});
  state.add_change(MatrixView<double>(target.data(), 3, 2), 1.0);
  CHECK(target == std::vector<double>{0, 0, 6, 8, 0, 0});
}
