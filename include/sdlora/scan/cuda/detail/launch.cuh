#pragma once

#include "../../../error.hpp"
#include "block.cuh"

#include <cuda_runtime.h>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sdlora::detail {

/// Throws Error where a call of the CUDA runtime failed.
inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw Error(std::string(what) + ": the CUDA runtime says \"" + cudaGetErrorString(status) + "\" (" +
                cudaGetErrorName(status) + ")");
  }
}

/// Runs a kernel body on the GPU.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads, Kernel::resident_blocks)
    run_kernel(const __grid_constant__ typename Kernel::Arguments arguments) {
  extern __shared__ float4 shared_memory[];
  CudaBlock block(reinterpret_cast<float*>(shared_memory));
  Kernel::run(block, arguments);
}

/// Launches kernels on a stream; allocates nothing and waits for nothing, so a CUDA graph can
/// capture it.
class StreamLauncher {
 public:
  explicit StreamLauncher(cudaStream_t stream = nullptr) : stream_(stream) {}

  template <class Kernel>
  void run(std::int64_t blocks, std::size_t shared_floats, const typename Kernel::Arguments& arguments) {
    if (blocks == 0) return;
    constexpr std::int64_t most = 0x7fff'ffff;
    if (blocks > most) {
      throw ShapeError("selective scan kernels: " + std::to_string(blocks) +
                       " blocks are more than one launch can hold; scan fewer sequences or channels at once");
    }
    const std::size_t bytes = shared_floats * sizeof(float);
    constexpr std::size_t plain = 48 * 1024;
    if (bytes > plain) {
      check_cuda(cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(bytes)),
                 "selective scan kernels: shared memory");
    }
    run_kernel<Kernel><<<static_cast<unsigned>(blocks), Kernel::threads, bytes, stream_>>>(arguments);
    check_cuda(cudaGetLastError(), "selective scan kernels: launch");
  }

 private:
  cudaStream_t stream_;
};

}  // namespace sdlora::detail
