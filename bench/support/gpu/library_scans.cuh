#pragma once

// The selective scan made of scans of given a and b: they are written for every state, scanned, and read.

#include "library_kernels.hpp"
#include "selective.cuh"
#include "suite.cuh"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/scan/cuda/detail/launch.cuh>
#include <sdlora/scan/cuda/policies.cuh>
#include <string>

namespace gpu_suite {

/// The memory of one sequence.
struct LibraryScan {
  SelectiveInputs<BFloat16> inputs;
  Memory<float> a, b, h;
  Memory<BFloat16> out;

  explicit LibraryScan(const Shape& shape)
      : inputs(shape), a(size(shape)), b(size(shape)), h(size(shape)), out(inputs.rows * inputs.channels) {}

 private:
  static std::size_t size(const Shape& shape) { return static_cast<std::size_t>(shape.elements()); }
};

template <class Policy>
void add_library_scan(Suite& suite, const Shape& shape) {
  const std::string name =
      variant_name("selective", Policy::name, Direction::forward, scalar_name<BFloat16>(), shape);
  suite.add(name, [shape](benchmark::State& state) {
    auto& data = Kept::get<LibraryScan>("library" + shape.text(),
                                        [&] { return std::make_shared<LibraryScan>(shape); });
    LinearScanProblem<float> x;
    x.length = shape.L;
    x.columns = shape.columns();
    x.column_stride = shape.L;
    x.a = data.a.get();
    x.b = data.b.get();
    x.h = data.h.get();
    const std::size_t bytes = Policy::workspace_bytes(x);
    const Memory<char> workspace(bytes);
    using Prepare = PrepareKernel<BFloat16>;
    using Finish = FinishKernel<BFloat16>;
    const typename Prepare::Arguments around{.in = data.inputs.view(),
                                             .length = shape.L,
                                             .channels = static_cast<int>(shape.D),
                                             .states = static_cast<int>(shape.N),
                                             .a = data.a.get(),
                                             .b = data.b.get(),
                                             .h = data.h.get(),
                                             .out = data.out.get()};
    const std::int64_t blocks = Prepare::blocks(around);
    const double N = static_cast<double>(shape.N);
    const double positions = static_cast<double>(shape.L * shape.D);
    // The operands of the fused scan once, and per state a, b and h, each written and read.
    const Work work{.elements = positions * N, .bytes = positions * (8 + 6 * 4 * N), .positions = positions};
    measure<BFloat16>(state, work, [&] {
      sdlora::detail::CudaScanLauncher launcher(nullptr, "the selective scan made of library scans");
      launcher.run<Prepare>(blocks, Prepare::shared_floats(around.states), around);
      cuda_scan(Policy{}, nullptr, x, workspace.get(), bytes);
      launcher.run<Finish>(blocks, Finish::shared_floats(around.states), around);
    });
  });
}

/// Adds what is most likely to come near the fused scan, on one shape of it.
inline void add_library_scans(Suite& suite) {
  const Shape shape{1, 2048, 1536, 16};
  add_library_scan<CudaDeviceScan>(suite, shape);
  add_library_scan<CudaDeviceScanByKey>(suite, shape);
  add_library_scan<CudaLookBack>(suite, shape);
  add_library_scan<CudaBlockScan<cub::BLOCK_SCAN_WARP_SCANS>>(suite, shape);
}

}  // namespace gpu_suite
