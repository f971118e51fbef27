// Gradients of recurrences by every algorithm, and matrices of double and bfloat16 by one of each kind.
#include <sdlora/scan/cuda/policies.cuh>

#include "support/cuda_policy.cuh"
#include "support/device.hpp"
#include "support/scan_problem_cases.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class Policy, class Stored>
void check_stored() {
  for (const std::int64_t length : problem_lengths) {
    for (const std::int64_t columns : problem_columns) {
      check_gradient_problem<CudaDevice>(ProblemData<Stored>(length, columns), OnGpu<Policy>{});
    }
  }
}

}  // namespace

TEST_CASE("scans on the GPU: gradients") {
  if (skip_without_device(has_cuda_device())) return;
  for_each_cuda_scan([](auto policy) {
    const std::string name(policy.name);
    CAPTURE(name);
    const OnGpu<decltype(policy)> run;
    check_gradient_problem<CudaDevice>(ProblemData<float>(1025, 7), run);
    with_extreme_decays<float>(
        3, [&](const ProblemData<float>& data) { check_gradient_problem<CudaDevice>(data, run); });
  });
  check_stored<CudaThreadPerChannel, float>();
  check_stored<CudaSplitTime, double>();
  check_stored<CudaBlockScan<cub::BLOCK_SCAN_WARP_SCANS>, BFloat16>();
  check_stored<CudaDeviceScan, float>();
}

TEST_CASE("scans on the GPU: bfloat16 and double") {
  if (skip_without_device(has_cuda_device())) return;
  check_linear_problem<CudaDevice>(ProblemData<BFloat16>(1025, 7), OnGpu<CudaThreadPerChannel>{});
  check_linear_problem<CudaDevice>(ProblemData<double>(1025, 7), OnGpu<CudaLookBack>{});
}
