#include "support/selective_scan_device_cases.hpp"

#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE_TEMPLATE("selective scan on every device: sequences and initial states", Device, Cpu, Emulated) {
  check_selective_scan_sequences<Device>();
}

TEST_CASE_TEMPLATE("selective scan on every device: optional inputs", Device, Cpu, Emulated) {
  check_selective_scan_optional_inputs<Device>();
}

TEST_CASE_TEMPLATE("selective scan on every device: only the gradients asked for", Device, Cpu, Emulated) {
  check_selective_scan_wanted<Device>();
}

TEST_CASE_TEMPLATE("selective scan on every device: calls", Device, Cpu, Emulated) {
  check_selective_scan_calls<Device>();
}

TEST_CASE("selective scan of bfloat16 on a device") {
  RandomScan<float> p({19, 1, 7}, 7, 5);
  p.shared_initial = true;
  check_selective_scan_on<Emulated, 5, SelectiveScanGradients::all(), BFloat16>(p);
}

TEST_CASE("selective scan on a device: work that it has no kernels for is refused") {
  WorkspaceOn<Emulated> workspace;
  const std::vector<std::size_t> offsets{0, 4};
  CHECK_THROWS_WITH_AS(selective_scan_checkpoint_size<Emulated>({offsets}, 3, 257),
                       doctest::Contains("expected 1 to 256 states, found 257"), ShapeError);
}
