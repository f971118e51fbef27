#pragma once

#include "../../error.hpp"
#include "../device.hpp"
#include "detail/block.cuh"
#include "detail/check.cuh"
#include "stream.cuh"

#include <cuda_runtime.h>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sdlora::detail {

/// The GPU under a kernel body that is written against a block policy.
template <class Kernel, class Block>
__global__ void __launch_bounds__(Kernel::threads, Kernel::resident_blocks)
    run_kernel(const __grid_constant__ typename Kernel::Arguments arguments) {
  extern __shared__ float4 shared_memory[];
  Block block(reinterpret_cast<float*>(shared_memory));
  Kernel::run(block, arguments);
}

/// Launches kernels on a stream; allocates nothing and waits for nothing, so a CUDA graph can
/// capture it. `Block` is what kernels see of the GPU.
template <class Block>
class StreamLauncher {
 public:
  /// `name` begins the text of errors.
  explicit StreamLauncher(cudaStream_t stream, const char* name) : stream_(stream), name_(name) {}

  template <class Kernel>
  void run(std::int64_t blocks, std::size_t shared_floats, const typename Kernel::Arguments& arguments) {
    if (blocks == 0) return;
    constexpr std::int64_t most = 0x7fff'ffff;
    if (blocks > most) {
      throw ShapeError(std::string(name_) + ": " + std::to_string(blocks) +
                       " blocks are more than one launch can hold; split the work");
    }
    const std::size_t bytes = shared_floats * sizeof(float);
    constexpr std::size_t plain = 48 * 1024;
    if (bytes > plain) {
      const cudaError_t status = cudaFuncSetAttribute(
          run_kernel<Kernel, Block>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      if (status != cudaSuccess) {
        static_cast<void>(cudaGetLastError());  // else a later call would report it
        throw Error(std::string(name_) + ": a block needs " + std::to_string(bytes) +
                    " bytes of shared memory, which this device does not give it (\"" +
                    cudaGetErrorString(status) +
                    "\"); choose smaller sizes: fewer states, or less time between those that are kept");
      }
    }
    run_kernel<Kernel, Block><<<static_cast<unsigned>(blocks), Kernel::threads, bytes, stream_>>>(arguments);
    check_cuda(cudaGetLastError(), name_);
  }

 private:
  cudaStream_t stream_;
  const char* name_;
};

}  // namespace sdlora::detail

namespace sdlora {

/// Launches kernels on the thread's current stream, or on one that it is given: allocates nothing and waits
/// for nothing.
template <>
class Launcher<Cuda> : public detail::StreamLauncher<detail::CudaBlock> {
 public:
  explicit Launcher(const char* name) : Launcher(CudaStream::current().get(), name) {}
  Launcher(cudaStream_t stream, const char* name) : StreamLauncher(stream, name) {}
};

}  // namespace sdlora
