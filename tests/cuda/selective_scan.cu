#include <sdlora/scan/cuda/selective_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using Gradients = SelectiveScanGradients;

// Each number of states is kernels of its own, and minutes of compilation when it is all of them: three here,
// all with SDLORA_TEST_ALL_STATES, as bench/gpu.sh builds it.
TEST_CASE("selective scan on the GPU: numbers of states") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice device;
  const ScanCase c{.lengths = {19, 1, 77}, .channels = 67};
  const auto of = [&](int states) {
    ScanCase with = c;
    with.states = states;
    return with;
  };
  check_scan_kernels<float, true, 3>(device, of(3));
  check_scan_kernels<float, true, 16>(device, of(16));
  check_scan_kernels<float, true, 50>(device, of(50));
#if defined(SDLORA_TEST_ALL_STATES)
  int device_bytes = 0;
  detail::check_cuda(cudaDeviceGetAttribute(&device_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
                     "device");
  for (const int states : {1, 2, 4, 7, 8, 17, 32, 64, 100, 256}) {
    std::size_t bytes = 0;
    detail::with_states<8, 0>(states, [&](auto held, auto lanes) {
      using Kernel = detail::BackwardKernel<float, decltype(held)::value, decltype(lanes)::value, true,
                                            SelectiveScanGradients::all()>;
      bytes = Kernel::shared_floats_for(c.interval) * sizeof(float);
    });
    if (bytes > static_cast<std::size_t>(device_bytes)) {
      MESSAGE("skipped: ", states, " states need ", bytes, " bytes of shared memory, the device has ",
              device_bytes);
      continue;
    }
    check_scan_kernels<float, true>(device, of(states));
  }
#endif
}

TEST_CASE("selective scan on the GPU: split time, checkpoint intervals") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice device;
  check_scan_kernels_cut<float>(device, {8, 16, 32, 64});
}

namespace {

/// A forward and backward of one shape on the thread's current stream, from the same inputs each time. The
/// plan cuts its time into segments.
struct Workload {
  static constexpr std::size_t M = 700, E = 130, N = 16;
  const std::vector<std::size_t> host_offsets{0, 400, M};
  WorkspaceOn<Cuda> batch, workspace;
  const PlacedSequences<Cuda> sequences = place_sequences(Sequences{host_offsets}, batch);
  Draws draw{11};
  PaddedMatrix<float> u{M, E, 0}, dt{M, E, 0}, z{M, E, 0}, B{M, N, 0}, C{M, N, 0}, d_out{M, E, 0};
  CudaDevice::Buffer<float> device_u{u.fill(draw, -1, 1).values}, device_dt{dt.fill(draw, -6, 1).values},
      device_z{z.fill(draw, -4, 4).values}, device_B{B.fill(draw, -1, 1).values},
      device_C{C.fill(draw, -1, 1).values}, device_d_out{d_out.fill(draw, -1, 1).values},
      A{floats(draw, E* N, -8, -0.01)}, D{floats(draw, E, -1, 1)};
  std::vector<float> wide = std::vector<float>(M * E), narrow = std::vector<float>(M * N);
  CudaDevice::Buffer<float> out{wide}, d_u{wide}, d_dt{wide}, d_z{wide}, d_B{narrow}, d_C{narrow},
      d_A{std::vector<float>(E * N)}, d_D{std::vector<float>(E)},
      checkpoints{std::vector<float>(selective_scan_checkpoint_size<Cuda>({host_offsets}, E, N))};

  void run() {
    for (const auto& [sums, count] : {std::pair{&d_A, E * N}, std::pair{&d_D, E}}) {
      Storage<float, Cuda>::zero(sums->data(), count);  // added to
    }
    SelectiveScanInputs<float, Cuda> in;
    in.sequences = sequences;
    in.u = {device_u.data(), M, E};
    in.dt = {device_dt.data(), M, E};
    in.z = {device_z.data(), M, E};
    in.B = {device_B.data(), M, N};
    in.C = {device_C.data(), M, N};
    in.A = {A.data(), E, N};
    in.D = {D.data(), 1, E};
    selective_scan_forward<N>(in, {out.data(), M, E}, {}, checkpoints.data(), workspace);
    SelectiveScanGradientOutputs<float, Cuda> gradients;
    gradients.u = {d_u.data(), M, E};
    gradients.dt = {d_dt.data(), M, E};
    gradients.z = {d_z.data(), M, E};
    gradients.B = {d_B.data(), M, N};
    gradients.C = {d_C.data(), M, N};
    gradients.A = {d_A.data(), E, N};
    gradients.D = {d_D.data(), 1, E};
    constexpr Gradients wanted{
        .u = true, .dt = true, .B = true, .C = true, .z = true, .A = AGradient::All, .D = true};
    selective_scan_backward<N, wanted>(in, checkpoints.data(), {device_d_out.data(), M, E}, {}, gradients,
                                       workspace);
  }
  std::vector<std::vector<float>> results() {
    return {out.read(), d_u.read(), d_dt.read(), d_z.read(), d_B.read(), d_C.read(), d_A.read(), d_D.read()};
  }
};

}  // namespace

TEST_CASE("selective scan on the GPU: the same bits every time, and from a captured graph") {
  if (skip_without_device(has_cuda_device())) return;
  Workload workload;
  CHECK(detail::scan_plan({workload.host_offsets}, Workload::E, Workload::N).split());
  workload.run();
  const auto first = workload.results();
  for (int repeat = 0; repeat < 3; ++repeat) {
    workload.run();
    CHECK(workload.results() == first);
  }
  const CudaStream stream = CudaStream::create();
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  const CudaStreamScope scope(stream);
  Workload captured;
  captured.run();  // the workspace grows: a graph allocates nothing
  detail::check_cuda(cudaDeviceSynchronize(), "first run");
  detail::check_cuda(cudaMemset(captured.out.data(), 0, sizeof(float) * Workload::M * Workload::E), "memset");
  detail::check_cuda(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), "capture");
  captured.run();
  detail::check_cuda(cudaStreamEndCapture(stream.get(), &graph), "end of capture");
  detail::check_cuda(cudaGraphInstantiate(&executable, graph, 0), "graph");
  detail::check_cuda(cudaGraphLaunch(executable, stream.get()), "graph launch");
  CHECK(captured.results() == first);
  detail::check_cuda(cudaGraphExecDestroy(executable), "graph");
  detail::check_cuda(cudaGraphDestroy(graph), "graph");
}
