#include <sdlora/scan/menu/kernel_scan.hpp>

#include "support/scan_device_cases.hpp"

#include <doctest/doctest.h>

#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

// An algorithm of one's own for a device: a thread per column.
struct Columns {
  static constexpr std::string_view name = "columns";
};

}  // namespace

template <>
struct sdlora::detail::KernelScan<Columns, Emulated> {
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem&) {
    return 0;
  }
  template <ScanProblem Problem>
  static void run(const Problem& x, void* workspace, std::size_t bytes) {
    CHECK(workspace == nullptr);
    CHECK(bytes == 0);
    Launcher<Emulated> launcher("columns");
    launcher.run<ColumnKernel<Problem>>(ColumnKernelShape::blocks(x.columns), 0, x);
  }
};

static_assert(KernelScanPolicy<Columns, Emulated> && !KernelScanPolicy<Columns, Cuda>);
static_assert(!KernelScanPolicy<Columns, Cpu> && !KernelScanPolicy<Sequential, Emulated>);

TEST_CASE("kernel scans: an algorithm of one's own for a device") {
  check_device_scan<Emulated, float>(Columns{});
  check_device_scan<Emulated, double>(Columns{});
}

TEST_CASE("kernel scans: what does not fit is refused") {
  WorkspaceOn<Emulated> workspace;
  const auto a = workspace.matrix<float>(5, 3), b = workspace.matrix<float>(5, 3),
             wide = workspace.matrix<float>(5, 7), h = workspace.matrix<float>(5, 3);
  const LinearScanOptions<float, Emulated> plain;
  CHECK_THROWS_AS(scan(Columns{}, a, b.rows_from(0, 4), h, plain, workspace), ShapeError);
  CHECK_THROWS_WITH_AS(scan(Columns{}, a, wide.cols_from(2, 3), h, plain, workspace),
                       doctest::Contains("kernels take matrices of one stride"), ShapeError);
  CHECK_THROWS_WITH_AS(scan(Columns{}, a, h, h, {.kind = ScanKind::Exclusive}, workspace),
                       doctest::Contains("give it its own"), ArgumentError);
  CHECK_THROWS_AS(scan_backward(Columns{}, a, h, b, {}, b, {}, {.kind = ScanKind::Exclusive}, workspace),
                  ArgumentError);
  CHECK_THROWS_WITH_AS(scan_backward(Columns{}, a, h, b, wide.cols_from(0, 3), b, {}, plain, workspace),
                       doctest::Contains("kernels take matrices of one stride"), ShapeError);
  const std::vector<std::size_t> offsets{0, 4};
  CHECK_THROWS_AS(scan(Columns{}, a, b, h, {.sequences = {offsets}}, workspace), ShapeError);
  CHECK_THROWS_AS(scan(Columns{}, a, b, h, {.initial = wide}, workspace), ShapeError);
}
