#pragma once

// The selective scan made of scans of given a and b: they are written for every state, scanned, and read.

#include "selective.cuh"
#include "suite.cuh"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/scan/cuda/policies.cuh>
#include <string>

namespace gpu_suite {

/// a and b of all (channel, state) recurrences, one after another, time contiguous.
template <class IO>
__global__ void prepare_kernel(KernelScanInputs<IO> x, int E, int N, std::int64_t L, float* a, float* b) {
  const sdlora::detail::CudaScanBlock block(nullptr);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= L * E * N) return;
  const std::int64_t t = i % L, n = i / L % N, e = i / L / N;
  const auto at = static_cast<std::size_t>(t * E + e);
  const float delta =
      sdlora::detail::kernel_softplus(block, static_cast<float>(x.dt.data[at]) + x.dt_bias[e]);
  a[i] = block.exp2(delta * x.A[e * N + n] * sdlora::detail::log2_e);
  b[i] = delta * static_cast<float>(x.u.data[at]) * static_cast<float>(x.B.data[t * N + n]);
}

/// y = Σ_n C·h + D·u, gated, from the states h laid out likewise.
template <class IO>
__global__ void finish_kernel(KernelScanInputs<IO> x, int E, int N, std::int64_t L, const float* h, IO* out) {
  const sdlora::detail::CudaScanBlock block(nullptr);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= L * E) return;
  const std::int64_t t = i % L, e = i / L;
  const auto at = static_cast<std::size_t>(t * E + e);
  float y = x.D[e] * static_cast<float>(x.u.data[at]);
  for (int n = 0; n < N; ++n) y += static_cast<float>(x.C.data[t * N + n]) * h[(e * N + n) * L + t];
  const float z = static_cast<float>(x.z.data[at]);
  out[at] = block.template narrow<IO>(y * z * sdlora::detail::sigmoid(block, z));
}

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
    const KernelScanInputs<BFloat16> in = data.inputs.view();
    const int E = static_cast<int>(shape.D), N = static_cast<int>(shape.N);
    const double positions = static_cast<double>(shape.L * shape.D);
    // The operands of the fused scan once, and per state a, b and h, each written and read.
    const Work work{.elements = positions * N, .bytes = positions * (8 + 6 * 4 * N), .positions = positions};
    measure(state, work, [&] {
      prepare_kernel<<<sdlora::detail::blocks_for(shape.elements(), 256), 256>>>(in, E, N, shape.L,
                                                                                 data.a.get(), data.b.get());
      cuda_scan(Policy{}, nullptr, x, workspace.get(), bytes);
      finish_kernel<<<sdlora::detail::blocks_for(shape.L * shape.D, 256), 256>>>(
          in, E, N, shape.L, data.h.get(), data.out.get());
      check_cuda(cudaGetLastError(), "the selective scan made of library scans");
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
