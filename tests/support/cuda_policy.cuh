#pragma once

#include <sdlora/scan/cuda/policies.cuh>

#include "support/cuda_device.cuh"

#include <cstddef>
#include <vector>

namespace sdlora_test {

/// Scans a problem by an algorithm for the GPU, to the end.
template <class Policy>
struct OnGpu {
  template <class Problem>
  void operator()(const Problem& x) const {
    const std::size_t bytes = Policy::workspace_bytes(x);
    CudaDevice::Buffer<char> workspace(std::vector<char>(bytes + 1));
    sdlora::cuda_scan(Policy{}, nullptr, x, workspace.data(), bytes);
    sdlora::detail::check_cuda(cudaDeviceSynchronize(), Policy::name.data());
  }
};

/// The same from a CUDA graph, which takes kernels and copies only: a call that allocated or waited would
/// fail.
template <class Policy>
struct FromGraph {
  template <class Problem>
  void operator()(const Problem& x) const {
    using sdlora::detail::check_cuda;
    const std::size_t bytes = Policy::workspace_bytes(x);
    CudaDevice::Buffer<char> workspace(std::vector<char>(bytes + 1));
    cudaStream_t stream{};
    cudaGraph_t graph{};
    cudaGraphExec_t executable{};
    check_cuda(cudaStreamCreate(&stream), "stream");
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capture");
    sdlora::cuda_scan(Policy{}, stream, x, workspace.data(), bytes);
    check_cuda(cudaStreamEndCapture(stream, &graph), "end of capture");
    check_cuda(cudaGraphInstantiate(&executable, graph, 0), "graph");
    check_cuda(cudaGraphLaunch(executable, stream), "graph launch");
    check_cuda(cudaStreamSynchronize(stream), Policy::name.data());
    check_cuda(cudaGraphExecDestroy(executable), "graph");
    check_cuda(cudaGraphDestroy(graph), "graph");
    check_cuda(cudaStreamDestroy(stream), "stream");
  }
};

}  // namespace sdlora_test
