#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/selective_scan_device_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("selective scan on every device: the GPU") {
  if (skip_without_device(has_cuda_device())) return;
  check_selective_scan_sequences<Cuda>();
  check_selective_scan_optional_inputs<Cuda>();
  check_selective_scan_wanted<Cuda>();
  check_selective_scan_calls<Cuda>();
  RandomScan<float> p({19, 1, 7}, 7, 5);
  p.shared_initial = true;
  check_selective_scan_on<Cuda, 5, SelectiveScanGradients::all(), BFloat16>(p);
}
