// The GPU's part of the scan suite: the menu of linear scans and the fused selective scan, beside the
// ceilings that the same run measures.
//
//   scan_variants_cuda [--selection=quick|all] [--time-limit=SECONDS] [Google Benchmark's options]
//
// Names: columns/<policy>/<forward|backward>/<scalar>/B:…/L:…/D:…/N:…     (B·L rows, D·N columns)
//        selective/fused/<direction>/<I/O>/B:…/…/kept_every:…/segments:…   (0: nothing kept for a backward)
//        selective/<policy>/forward/<I/O>/B:…/…                            (made of a scan of given a and b)
// A policy of one's own joins with a line, here or in a program of its own (examples/custom_cuda_scan.cu).
// Variants that begin after the time limit are left out. Exits with 77 where there is no device.

#include "../support/gpu/columns.cuh"
#include "../support/gpu/library_scans.cuh"
#include "../support/gpu/selective.cuh"
#include "../support/gpu/suite.cuh"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <string>
#include <vector>

// Compiled in menu_*.cu.
extern template void gpu_suite::add_menu<float>(Suite&);
extern template void gpu_suite::add_menu<double>(Suite&);
extern template void gpu_suite::add_menu<sdlora::BFloat16>(Suite&);

namespace {

using namespace gpu_suite;

/// The device and its ceilings, as context of every result.
void describe_device() {
  cudaDeviceProp device{};
  check_cuda(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const auto whole = [](double value) { return std::to_string(static_cast<long long>(value + 0.5)); };
  Ceilings& ceilings = Ceilings::instance();
  benchmark::AddCustomContext("device", device.name);
  benchmark::AddCustomContext("multiprocessors", std::to_string(device.multiProcessorCount));
  benchmark::AddCustomContext("compute_capability",
                              std::to_string(device.major) + "." + std::to_string(device.minor));
  benchmark::AddCustomContext(
      "cuda", std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10));
  benchmark::AddCustomContext("copy_GB_per_s", whole(ceilings.copy() * 1e-9));
  benchmark::AddCustomContext("exp_G_per_s", whole(ceilings.exponentials() * 1e-9));
  benchmark::AddCustomContext("fma_G_per_s", whole(ceilings.bare_steps<float>() * 1e-9));
  benchmark::AddCustomContext("fma_double_G_per_s", whole(ceilings.bare_steps<double>() * 1e-9));
}

/// Seconds, or a negative number where the text is none.
double seconds_from(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  return end == text.c_str() || *end != '\0' ? -1 : seconds;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  scan_suite::Selection selection{};
  if (!scan_suite::take_selection(arguments, selection)) return 1;
  const std::string limit = scan_suite::take_option(arguments, "--time-limit", "inf");
  const double time_limit = seconds_from(limit);
  if (!(time_limit >= 0)) {
    std::fprintf(stderr, "--time-limit: expected seconds, found '%s'\n", limit.c_str());
    return 1;
  }
  if (!scan_suite::take_benchmark_options(arguments)) return 1;

  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no device");
    return 77;
  }
  std::size_t failures = 0;
  try {
    Suite suite(selection, time_limit);
    add_all_fused(suite);
    add_library_scans(suite);
    add_menu<float>(suite);
    add_menu<double>(suite);
    add_menu<BFloat16>(suite);
    describe_device();
    failures = scan_suite::run_registered(suite.size()).failures();
    Kept::release();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "scan_variants_cuda: %s\n", e.what());
    return 1;
  }
  if (failures > 0) std::fprintf(stderr, "scan_variants_cuda: %zu variants failed\n", failures);
  return failures > 0 ? 1 : 0;
}
