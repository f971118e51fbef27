#include <sdlora/adapters/state_offset.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

TEST_CASE("state_offset: adds C·h' to every token, and is nothing at first") {
  constexpr std::size_t E = 3, N = 2, M = 4;
  const AdapterOptions options;
  ParameterStore<double> store(E * N);
  const StateOffset::Scan<double> state(
      store, {.name = "a", .site = {"scan", SiteKind::Scan, {E, N}}, .decay = false, .options = &options});
  const std::vector<double> C{1, 0, 0, 1, 1, 1, 2, -1};
  std::vector<double> y(M * E, 0.0), d_C(M * N, 0.0);
  const ScanInputs<const double> in{.C = MatrixView<const double>(C.data(), M, N)};
  Workspace workspace;
  state.add(in, MatrixView<double>(y.data(), M, E), workspace);
  for (const double v : y) CHECK(v == 0.0);
  for (std::size_t i = 0; i < E * N; ++i) store.values()[i] = static_cast<double>(i + 1);
  state.add(in, MatrixView<double>(y.data(), M, E), workspace);
  CHECK(y == std::vector<double>{1, 3, 5, 2, 4, 6, 3, 7, 11, 0, 2, 4});
  const std::vector<double> ones(M * E, 1.0);
  state.backward(in, MatrixView<const double>(ones.data(), M, E), {.C = MatrixView<double>(d_C.data(), M, N)},
                 workspace);
  CHECK(d_C == std::vector<double>{9, 12, 9, 12, 9, 12, 9, 12});
  for (std::size_t e = 0; e < E; ++e) {
    CHECK(store.gradients()[e * N] == 4.0);
    CHECK(store.gradients()[e * N + 1] == 1.0);
  }
}
