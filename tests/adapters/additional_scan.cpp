#include "support/numbers.hpp"

#include <sdlora/adapters/additional_scan.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t E = 3, N = 2, n = 3, M = 4;
constexpr SiteInfo site_{"scan", SiteKind::Scan, {E, N}};
static_assert(AdditionalScan<n>::count(site_, AdditionalScan<n>::resolved({}, site_)) == 3 * n * E);
static_assert(AdditionalScan<n>::remembers(site_, AdditionalScan<n>::resolved({}, site_)) == n * E);
static_assert(AdditionalScan<n>::is_static && !AdditionalScan<>::is_static && !AdditionalScan<>::mergeable);
static_assert(detail::remembers<AdditionalScan<>> && !detail::remembers<Full>);

}  // namespace

TEST_CASE(
    "additional_scan: states of their own, as a recurrence says; nothing at first; they can be gone on "
    "from") {
  const std::vector<double> a_log = Normals(1).vector<double>(E * N);
  const AdapterOptions options{AdditionalScanOptions{.extra_states = n}};
  ParameterStore<double> store(3 * n * E);
  const AdditionalScan<>::Scan<double> state(store, {.name = "a",
                                                     .site = site_,
                                                     .base = MatrixView<const double>(a_log.data(), E, N),
                                                     .options = &options});
  CHECK(!store.find("a.A_log")->decay);
  CHECK(store.find("a.W_B")->decay);
  CHECK(store.find("a.W_C")->decay);
  for (std::size_t e = 0; e < E; ++e) {  // the columns of A_log in turn
    for (std::size_t k = 0; k < n; ++k) CHECK(store.values()[e * n + k] == a_log[e * N + k % N]);
  }
  const std::vector<double> u = Normals(2).vector<double>(M * E), dt = Normals(3).vector<double>(M * E),
                            dt_bias = Normals(4).vector<double>(E);
  const auto rows = [&](const std::vector<double>& all, std::size_t first, std::size_t count) {
    return MatrixView<const double>(all.data() + first * E, count, E);
  };
  Workspace workspace;
  const auto run = [&](std::size_t first, std::size_t count, MatrixView<const double> before,
                       std::vector<double>* after) {
    const std::vector<std::size_t> offsets{0, count};
    const SequencesOn<Cpu> sequences = place_sequences<Cpu>({offsets}, workspace);
    std::vector<double> y(count * E, 0.0);
    const MatrixView<double> left =
        after == nullptr ? MatrixView<double>() : MatrixView<double>(after->data(), 1, E * n);
    state.add({.u = rows(u, first, count), .dt = rows(dt, first, count), .dt_bias = rows(dt_bias, 0, 1)},
              {sequences, before, left}, MatrixView<double>(y.data(), count, E), workspace);
    return y;
  };
  for (const double y : run(0, M, {}, nullptr)) CHECK(y == 0.0);

  Normals(5).fill(store.values(), 0.7);
  const std::vector<double> all = store.host_values();
  std::vector<double> expected(M * E, 0.0), h(E * n, 0.0);
  for (std::size_t t = 0; t < M; ++t) {
    for (std::size_t k = 0; k < n; ++k) {
      double B = 0.0, C = 0.0;
      for (std::size_t e = 0; e < E; ++e) {
        B += all[E * n + k * E + e] * u[t * E + e];
        C += all[2 * E * n + k * E + e] * u[t * E + e];
      }
      for (std::size_t e = 0; e < E; ++e) {
        const double step = std::log(1.0 + std::exp(dt[t * E + e] + dt_bias[e]));
        double& kept = h[e * n + k];
        kept = std::exp(-step * std::exp(all[e * n + k])) * kept + step * u[t * E + e] * B;
        expected[t * E + e] += C * kept;
      }
    }
  }
  CHECK(relative_error(run(0, M, {}, nullptr), expected) < 1e-13);
  std::vector<double> middle(E * n), last(E * n);
  std::vector<double> found = run(0, 3, {}, &middle);
  const std::vector<double> rest = run(3, 1, MatrixView<const double>(middle.data(), 1, E * n), &last);
  found.insert(found.end(), rest.begin(), rest.end());
  CHECK(relative_error(found, expected) < 1e-13);
  CHECK(relative_error(last, h) < 1e-13);
}

TEST_CASE("additional_scan: numbers of states out of range") {
  const std::vector<double> a_log(E * N, 0.0);
  for (const std::size_t states : {0U, 4097U}) {
    const AdapterOptions options{AdditionalScanOptions{.extra_states = states}};
    ParameterStore<double> store(100);
    CHECK_THROWS_WITH_AS(
        (AdditionalScan<>::Scan<double>(store, {.name = "a",
                                                .site = site_,
                                                .base = MatrixView<const double>(a_log.data(), E, N),
                                                .options = &options})),
        doctest::Contains("expected from 1 to 4096 extra states, found"), ArgumentError);
  }
}
