#pragma once

#include "../../../tensor/cuda/launch.cuh"
#include "block.cuh"

namespace sdlora::detail {

/// Launches the kernels of a scan.
class ScanLauncher : public StreamLauncher<CudaScanBlock> {
 public:
  explicit ScanLauncher(cudaStream_t stream = nullptr, const char* name = "selective scan kernels")
      : StreamLauncher(stream, name) {}
};

}  // namespace sdlora::detail
