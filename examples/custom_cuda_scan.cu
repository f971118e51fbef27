// A scan algorithm of one's own for a GPU, used, checked and measured as the built-in ones are.
//
//   custom_cuda_scan [Google Benchmark's options]
//
// Exits with 77 where there is no device.

#include "../bench/support/gpu/columns.cuh"
#include "../bench/support/gpu/suite.cuh"
#include "support/raking_scan.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <limits>
#include <sdlora/cuda.cuh>
#include <sdlora/scan/menu/sequential.hpp>
#include <string_view>
#include <vector>

namespace {

using namespace sdlora;

/// Raking: each thread of a column's block composes a piece of time, and all that stands before it.
/// Work 2L, depth 2·L/128 + 128.
struct RakingScan {
  static constexpr std::string_view name = "raking";

  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    using Kernel = RakingKernel<Problem>;
    return static_cast<std::size_t>(x.columns) * Kernel::threads * sizeof(typename Kernel::Value);
  }
  template <ScanProblem Problem>
  static void run(cudaStream_t stream, const Problem& x, void* workspace, std::size_t) {
    using Kernel = RakingKernel<Problem>;
    Launcher<Cuda>(stream, name.data())
        .run<Kernel>(x.columns, 0, {x, static_cast<typename Kernel::Value*>(workspace)});
  }
};
static_assert(CudaScanPolicy<RakingScan>);

/// Whether it gives what the sequential scan gives on the host.
bool agrees() {
  using Matrix = Tensor<float, Extents<dyn, dyn>>;
  constexpr std::size_t L = 1000, columns = 37;
  Matrix a(L, columns), b(L, columns), expected(L, columns);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = 0.9F + 0.01F * static_cast<float>(i % 10);
    b.data()[i] = static_cast<float>(i % 13) - 6.0F;
  }
  const auto device_a = to_device(a), device_b = to_device(b);
  Tensor<float, Extents<dyn, dyn>, Cuda> device_h(L, columns);
  for (const ScanDirection direction : {ScanDirection::Forward, ScanDirection::Reverse}) {
    scan(Sequential{}, a.matrix(), b.matrix(), expected.matrix(), {.direction = direction, .initial = {}});
    scan(RakingScan{}, device_a.view(), device_b.view(), device_h.view(),
         {.direction = direction, .initial = {}});
    const auto h = to_host(device_h);
    for (std::size_t i = 0; i < h.size(); ++i) {
      const float scale = std::fmax(1.0F, std::fabs(expected.data()[i]));
      if (!(std::fabs(h.data()[i] - expected.data()[i]) < 1e-4F * scale)) return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no device");
    return 77;
  }
  try {
    if (!agrees()) {
      std::fprintf(stderr, "custom_cuda_scan: RakingScan and Sequential differ\n");
      return 1;
    }
    std::puts("RakingScan agrees with Sequential");

    std::vector<char*> arguments(argv, argv + argc);
    if (!scan_suite::take_benchmark_options(arguments)) return 1;
    gpu_suite::Suite suite(scan_suite::Selection::quick, std::numeric_limits<double>::infinity());
    gpu_suite::add_policy<RakingScan>(suite);
    const std::size_t failures = scan_suite::run_registered(suite.size()).failures();
    gpu_suite::Kept::release();
    return failures > 0 ? 1 : 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "custom_cuda_scan: %s\n", e.what());
    return 1;
  }
}
