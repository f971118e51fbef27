#pragma once

#include "../../../tensor/cuda/launch.cuh"
#include "block.cuh"

namespace sdlora::detail {

/// Launches the kernels of a scan.
class ScanLauncher : public StreamLauncher<CudaScanBlock> {
 public:
  explicit ScanLauncher(cudaStream_t stream = nullptr) : StreamLauncher(stream, "selective scan kernels") {}
};

}  // namespace sdlora::detail
