#include <doctest/doctest.h>

#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>

#include "random_scan.hpp"

namespace {

using sdlora::AGradient;
using sdlora::SelectiveScanGradients;
using sdlora::Workspace;

constexpr SelectiveScanGradients everything = SelectiveScanGradients::all();

template <SelectiveScanGradients Wanted>
GradientArrays<float> fused(const RandomScan<float>& p, std::vector<std::size_t> channels = {}) {
  Workspace workspace;
  const auto in = p.inputs();
  std::vector<float> out(p.rows() * p.E),
      checkpoints(sdlora::selective_scan_checkpoint_size(in.sequences, p.E, p.N));
  sdlora::selective_scan_forward<8>(in, {out.data(), p.rows(), p.E}, {}, checkpoints.data(), workspace);
  GradientArrays<float> gradients(p, std::move(channels));
  sdlora::selective_scan_backward<8, Wanted>(in, checkpoints.data(), p.matrix(p.d_out, p.rows(), p.E),
                                             p.states(p.d_final_state.data()), gradients.outputs(),
                                             workspace);
  return gradients;
}

// What is asked for equals the full backward bit for bit; what is not keeps its bits.
template <SelectiveScanGradients Wanted>
void check_subset(const RandomScan<float>& p, const GradientArrays<float>& full) {
  const GradientArrays<float> got = fused<Wanted>(p), untouched(p);
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

constexpr AGradient all = AGradient::All, none = AGradient::None;

}  // namespace

TEST_CASE("selective_scan_backward: a subset of the gradients is the same as in all of them") {
  const RandomScan<float> p({45, 3}, 150, 8);
  const auto full = fused<everything>(p);
  check_subset<SelectiveScanGradients{}>(p, full);
  check_subset<SelectiveScanGradients{.u = true}>(p, full);
  check_subset<SelectiveScanGradients{.dt = true}>(p, full);
  check_subset<SelectiveScanGradients{.B = true}>(p, full);
  check_subset<SelectiveScanGradients{.C = true}>(p, full);
  check_subset<SelectiveScanGradients{.z = true}>(p, full);
  check_subset<SelectiveScanGradients{.A = all}>(p, full);
  check_subset<SelectiveScanGradients{.D = true}>(p, full);
  check_subset<SelectiveScanGradients{.dt_bias = true}>(p, full);
  check_subset<SelectiveScanGradients{.initial_state = true}>(p, full);
  check_subset<SelectiveScanGradients{.u = true, .dt = true, .B = true, .C = true, .z = true}>(p, full);
  check_subset<SelectiveScanGradients{.B = true, .C = true, .A = all}>(p, full);
  check_subset<SelectiveScanGradients{.dt = true, .C = true, .D = true}>(p, full);
  check_subset<SelectiveScanGradients{.z = true, .A = none, .D = true, .initial_state = true}>(p, full);
}

TEST_CASE("selective_scan_backward: selected channels are rows of the full gradient of A") {
  const RandomScan<float> p({45, 3}, 150, 8);
  const auto full = fused<everything>(p);
  constexpr SelectiveScanGradients with_all{true, true, true, true, true, AGradient::SelectedChannels,
                                            true, true, true};
  constexpr SelectiveScanGradients alone{.A = AGradient::SelectedChannels};
  constexpr SelectiveScanGradients with_sums{.B = true, .C = true, .A = AGradient::SelectedChannels};
  for (const std::vector<std::size_t>& channels :
       {std::vector<std::size_t>{0}, {149}, {15, 16}, {3, 7, 64, 65, 66, 140}}) {
    std::vector<float> rows;
    for (const std::size_t e : channels) {
      rows.insert(rows.end(), full.A.begin() + static_cast<std::ptrdiff_t>(e * p.N),
                  full.A.begin() + static_cast<std::ptrdiff_t>((e + 1) * p.N));
    }
    CHECK(fused<alone>(p, channels).A == rows);
    const auto sums = fused<with_sums>(p, channels);
    CHECK(sums.A == rows);
    CHECK(sums.B == full.B);
    CHECK(sums.C == full.C);
    const auto every = fused<with_all>(p, channels);
    CHECK(every.A == rows);
    CHECK(every.u == full.u);
    CHECK(every.dt == full.dt);
    CHECK(every.z == full.z);
    CHECK(every.B == full.B);
    CHECK(every.initial_state == full.initial_state);
  }
}
