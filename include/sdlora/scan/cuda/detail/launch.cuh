#pragma once

#include "../../../tensor/cuda/launch.cuh"
#include "../../selective/detail/on_device.hpp"
#include "block.cuh"

namespace sdlora::detail {

/// Launches the kernels of a scan on a stream, by default the thread's current one.
template <>
class ScanLauncher<Cuda> : public StreamLauncher<CudaScanBlock> {
 public:
  explicit ScanLauncher(const char* name) : StreamLauncher(CudaStream::current().get(), name) {}
  ScanLauncher(cudaStream_t stream, const char* name) : StreamLauncher(stream, name) {}
};
using CudaScanLauncher = ScanLauncher<Cuda>;

}  // namespace sdlora::detail
