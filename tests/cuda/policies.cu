#include <sdlora/scan/cuda/policies.cuh>

#include "support/cuda_policy.cuh"
#include "support/device.hpp"
#include "support/scan_problem_cases.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("scans on the GPU: linear recurrences") {
  if (skip_without_device(has_cuda_device())) return;
  for_each_cuda_scan([](auto policy) {
    const std::string name(policy.name);
    CAPTURE(name);
    const OnGpu<decltype(policy)> run;
    for (const std::int64_t length : problem_lengths) {
      for (const std::int64_t columns : problem_columns) {
        check_linear_problem<CudaDevice>(ProblemData<float>(length, columns), run);
      }
    }
    check_linear_problem<CudaDevice>(ProblemData<float>(5003, 130), run);
  });
}

TEST_CASE("scans on the GPU: any operator") {
  if (skip_without_device(has_cuda_device())) return;
  for_each_cuda_scan([](auto policy) {
    const std::string name(policy.name);
    CAPTURE(name);
    for (const std::int64_t length : problem_lengths)
      check_value_problem<CudaDevice>(length, OnGpu<decltype(policy)>{});
    check_value_problem<CudaDevice>(50021, OnGpu<decltype(policy)>{});
  });
}

// Small, so that tools which watch every access can take it, and with all that a call does.
TEST_CASE("scans on the GPU: every policy once, and from a captured graph") {
  std::set<std::string_view> names;
  for_each_cuda_scan([&](auto policy) { names.insert(policy.name); });
  CHECK(names.size() == 10);
  if (skip_without_device(has_cuda_device())) return;
  for_each_cuda_scan([](auto policy) {
    using Policy = decltype(policy);
    const std::string name(policy.name);
    CAPTURE(name);
    check_linear_problem<CudaDevice>(ProblemData<float>(1025, 7), OnGpu<Policy>{});
    check_value_problem<CudaDevice>(1025, OnGpu<Policy>{});
    if constexpr (!std::is_same_v<Policy, CudaThrustScan>)
      check_linear_problem<CudaDevice>(ProblemData<float>(1025, 7), FromGraph<Policy>{});
  });
}

TEST_CASE("scans on the GPU: more blocks than a launch can hold") {
  LinearScanProblem<float> x;
  x.length = std::int64_t{1} << 20;
  x.columns = std::int64_t{1} << 31;
  CHECK_THROWS_AS(cuda_scan(CudaBlockScan<cub::BLOCK_SCAN_RAKING>{}, nullptr, x, nullptr, 0), ShapeError);
}
