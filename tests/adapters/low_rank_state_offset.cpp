#include <sdlora/adapters/low_rank_state_offset.hpp>
#include <sdlora/adapters/state_offset.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace sdlora;

TEST_CASE("low_rank_state_offset: a state offset h' = B·A") {
  constexpr std::size_t E = 3, N = 2, M = 4;
  constexpr SiteInfo site{"scan", SiteKind::Scan, {E, N}};
  static_assert(LowRankStateOffset<>::count(site, {.rank = 1}) == E + N);
  static_assert(LowRankStateOffset<1>::is_static && !LowRankStateOffset<>::is_static);
  const AdapterOptions options{LowRankOffsetOptions{.rank = 1}};
  ParameterStore<double> store(E + N), whole(E * N);
  const SitePlace<double> place{.name = "a", .site = site, .decay = false, .options = &options};
  const LowRankStateOffset<>::Scan<double> state(store, place);
  const StateOffset::Scan<double> expected(whole, place);
  const std::vector<double> first = store.host_values();
  CHECK(std::abs(first[0]) <= 1.0 / std::sqrt(2.0));
  CHECK(first[0] != 0.0);
  for (std::size_t i = N; i < E + N; ++i) CHECK(first[i] == 0.0);
  CHECK(!store.entries()[0].decay);

  const std::vector<double> C{1, 0, 0, 1, 1, 1, 2, -1}, ones(M * E, 1.0);
  store.set_values(std::vector<double>{2, -3, 1, 4, 5});          // A, then B
  whole.set_values(std::vector<double>{2, -3, 8, -12, 10, -15});  // their product
  std::vector<double> y(M * E, 0.0), other(M * E, 0.0), d_C(M * N, 0.0), other_d_C(M * N, 0.0);
  const ScanInputs<const double> in{.C = MatrixView<const double>(C.data(), M, N)};
  const MatrixView<const double> d_y(ones.data(), M, E);
  Workspace workspace;
  state.add(in, MatrixView<double>(y.data(), M, E), workspace);
  expected.add(in, MatrixView<double>(other.data(), M, E), workspace);
  CHECK(y == other);
  state.backward(in, d_y, {.C = MatrixView<double>(d_C.data(), M, N)}, workspace);
  expected.backward(in, d_y, {.C = MatrixView<double>(other_d_C.data(), M, N)}, workspace);
  CHECK(d_C == other_d_C);
  // ∂/∂h' = Σ d_y·Cᵀ is (4, 1) in every row: A gets 10 times that, B its product with A.
  CHECK(store.host_gradients() == std::vector<double>{40, 10, 5, 5, 5});
}

TEST_CASE("low_rank_state_offset: a rank of zero is refused") {
  const AdapterOptions options{LowRankOffsetOptions{.rank = 0}};
  ParameterStore<double> store(5);
  CHECK_THROWS_WITH_AS(
      (LowRankStateOffset<>::Scan<double>(
          store, {.name = "a", .site = {"scan", SiteKind::Scan, {3, 2}}, .options = &options})),
      doctest::Contains("expected a rank of at least 1, found 0"), ArgumentError);
}
