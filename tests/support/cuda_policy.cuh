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

}  // namespace sdlora_test
