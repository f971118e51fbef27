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
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Whether its documentation says so; the others look back at what other blocks have done so far.
template <class Policy>
inline constexpr bool adds_in_fixed_order =
    !std::is_same_v<Policy, CudaDeviceScan> && !std::is_same_v<Policy, CudaDeviceScanByKey> &&
    !std::is_same_v<Policy, CudaThrustScan> && !std::is_same_v<Policy, CudaLookBack>;

}  // namespace

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
    with_extreme_decays<float>(
        3, [&](const ProblemData<float>& data) { check_linear_problem<CudaDevice>(data, run); });
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

TEST_CASE("scans on the GPU: without steps or columns nothing runs") {
  for_each_cuda_scan([](auto policy) {
    LinearScanProblem<float> no_steps, no_columns;
    no_steps.columns = 3;
    no_columns.length = 3;
    cuda_scan(policy, nullptr, no_steps, nullptr, 0);
    cuda_scan(policy, nullptr, no_columns, nullptr, 0);
    cuda_scan(policy, nullptr, LinearGradientProblem<float>{}, nullptr, 0);
    cuda_scan(policy, nullptr, ValueScanProblem<ModularMatrix>{}, nullptr, 0);
  });
}

TEST_CASE("scans on the GPU: those that add in a fixed order repeat themselves to the bit") {
  if (skip_without_device(has_cuda_device())) return;
  for_each_cuda_scan([]<class Policy>(Policy policy) {
    if constexpr (!adds_in_fixed_order<Policy>) return;
    const std::string name(policy.name);
    CAPTURE(name);
    const ProblemData<float> data(50021, 3);
    CudaDevice::Buffer<float> a(data.a), b(data.b);
    std::vector<float> first;
    for (int i = 0; i < 5; ++i) {
      CudaDevice::Buffer<float> h(data.b);
      LinearScanProblem<float> x;
      data.lay_out(x, false, ScanDirection::Forward);
      x.a = a.data();
      x.b = b.data();
      x.h = h.data();
      OnGpu<Policy>{}(x);
      const auto found = h.read();
      if (first.empty()) first = found;
      CHECK(found == first);
    }
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
