#include <sdlora/adapters/scan_inputs.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

TEST_CASE("scan_inputs: a policy reads nothing and nothing is wanted unless it is said") {
  constexpr ScanReads reads;
  static_assert(!reads.u && !reads.dt && !reads.B && !reads.C);
  const ScanInputs<double> wanted;
  CHECK((!wanted.u && !wanted.dt && !wanted.B && !wanted.C));
}
