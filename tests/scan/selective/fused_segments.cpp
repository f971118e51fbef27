#include <sdlora/scan/selective/fused_segments.hpp>

#include <doctest/doctest.h>

#include <sdlora/scan/selective/fused.hpp>

#include "scan_types.hpp"

using namespace sdlora;

namespace {
constexpr SelectiveScanGradients all = SelectiveScanGradients::all();
}  // namespace

TEST_CASE_TEMPLATE("FusedSegments: as without segments, within rounding", T, float, double) {
  constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;
  const RandomScan<T> p({131, 0, 1, 50}, 21, 5);
  const auto whole = results_of<Fused, 5, all>(p);
  CHECK(worst(results_of<FusedSegments<24>, 5, all>(p), whole) < tolerance);
  CHECK_FALSE(results_of<FusedSegments<24>, 5, all>(p) == whole);
  CHECK(worst(results_of<FusedSegments<100>, dyn, all>(p), whole) < tolerance);
  CHECK(results_of<FusedSegments<131>, 5, all>(p) == whole);  // nothing is cut
}

TEST_CASE("FusedSegments: either type's backward pass takes the other's checkpoints") {
  const RandomScan<float> p({131}, 5, 3);
  CHECK(FusedSegments<24>::checkpoint_size(p.inputs().sequences, 5, 3) ==
        Fused::checkpoint_size(p.inputs().sequences, 5, 3));
}
