#include <sdlora/model/execution.hpp>
#include <sdlora/scan/selective/fused_segments.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

TEST_CASE("a Run says device and scalar; a scalar alone stands for one on the Cpu") {
  CHECK(std::is_same_v<Run<>::device_type, Cpu>);
  CHECK(std::is_same_v<Run<Emulated>::value_type, float>);
  CHECK(std::is_same_v<run_of<double>, Run<Cpu, double>>);
  CHECK(std::is_same_v<run_of<Run<Cuda>>::device_type, Cuda>);
  CHECK(std::is_same_v<Run<>::scan_type, Fused>);
  CHECK(std::is_same_v<Run<Cuda>::with_scan<FusedSegments<64>>::scan_type, FusedSegments<64>>);
}
