#include <sdlora/scan/menu/simd_states.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("SimdStates: linear recurrences over columns") { scan_checks::check_column_policy(SimdStates<>{}); }

TEST_CASE("SimdStates: gradients") { scan_checks::check_backward(SimdStates<>{}); }

TEST_CASE("SimdStates: any number of states") {
  const scan_checks::ColumnProblem<float> p(61, 75, scan_checks::decay, scan_checks::inputs);
  scan_checks::check_columns(SimdStates<1>{}, p, 2e-6);
  scan_checks::check_columns(SimdStates<3>{}, p, 2e-6);
  scan_checks::check_columns(SimdStates<64>{}, p, 2e-6);
}
