#include <doctest/doctest.h>

#include <sdlora/scan/menu/hillis_steele.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/scan/selective/materialized.hpp>

#include <vector>

#include "scan_types.hpp"

using namespace sdlora;

namespace {

constexpr SelectiveScanGradients all = SelectiveScanGradients::all();

template <class Scan, SelectiveScanGradients Wanted>
void check_subset(const RandomScan<float>& p, const GradientArrays<float>& full) {
  const GradientArrays<float> got = results_of<Scan, 3, Wanted>(p).gradients, untouched(p);
  CHECK(got.u == (Wanted.u ? full.u : untouched.u));
  CHECK(got.dt == (Wanted.dt ? full.dt : untouched.dt));
  CHECK(got.B == (Wanted.B ? full.B : untouched.B));
  CHECK(got.C == (Wanted.C ? full.C : untouched.C));
  CHECK(got.z == (Wanted.z ? full.z : untouched.z));
  CHECK(got.A == (Wanted.A == AGradient::All ? full.A : untouched.A));
  CHECK(got.D == (Wanted.D ? full.D : untouched.D));
  CHECK(got.dt_bias == (Wanted.dt_bias ? full.dt_bias : untouched.dt_bias));
  CHECK(got.initial_state == (Wanted.initial_state ? full.initial_state : untouched.initial_state));
}

template <class Scan>
void check_subsets() {
  constexpr AGradient A = AGradient::All;
  const RandomScan<float> p({19, 1, 0, 4}, 9, 3);
  const auto full = results_of<Scan, 3, all>(p).gradients;
  check_subset<Scan, SelectiveScanGradients{}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.u = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.dt = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.B = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.C = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.z = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.A = A}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.D = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.dt_bias = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.initial_state = true}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.B = true, .C = true, .A = A}>(p, full);
  check_subset<Scan, SelectiveScanGradients{.u = true, .z = true, .D = true}>(p, full);
}

}  // namespace

TEST_CASE("Materialized: a subset of the gradients is the same as in all of them") {
  check_subsets<Materialized<SimdChannels>>();
  check_subsets<Materialized<HillisSteele>>();
}

TEST_CASE("Materialized: selected channels are rows of the full gradient of A") {
  const RandomScan<float> p({19, 1, 0, 4}, 9, 3);
  const auto full = results_of<Materialized<SimdChannels>, 3, all>(p).gradients;
  constexpr SelectiveScanGradients alone{.A = AGradient::SelectedChannels};
  for (const std::vector<std::size_t>& channels : {std::vector<std::size_t>{0}, {8}, {1, 2, 5, 8}}) {
    std::vector<float> rows;
    for (const std::size_t e : channels) {
      rows.insert(rows.end(), full.A.begin() + static_cast<std::ptrdiff_t>(e * p.N),
                  full.A.begin() + static_cast<std::ptrdiff_t>((e + 1) * p.N));
    }
    CHECK(results_of<Materialized<SimdChannels>, 3, alone>(p, channels).gradients.A == rows);
    CHECK(results_of<Materialized<SimdChannels, 1>, 3, alone>(p, channels).gradients.A == rows);
  }
}
