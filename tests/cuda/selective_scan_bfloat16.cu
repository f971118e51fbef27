#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("selective scan on the GPU: bfloat16") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice device;
  for (const std::int64_t segment : {0, 64, 128}) {
    for (const int interval : {8, 32}) {
      for (const int padding : {3, 4}) {  // rows of which four values can be moved at once with the latter
        check_scan_kernels<BFloat16, true, 16>(device, {.lengths = {300, 0, 45, 129},
                                                        .channels = 200,
                                                        .states = 16,
                                                        .interval = interval,
                                                        .segment_length = segment,
                                                        .padding = padding});
      }
    }
  }
  check_scan_kernels<BFloat16, false, 16>(device, {.lengths = {65, 64}, .channels = 130, .states = 16});
}
