#pragma once

#include "../../../error.hpp"

#include <cuda_runtime.h>
#include <string>

namespace sdlora::detail {

/// Throws Error where a call of the CUDA runtime failed. The runtime forgets the failure, where it can: the
/// next launch would report it as its own to a caller who catches this.
inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    throw Error(std::string(what) + ": the CUDA runtime says \"" + cudaGetErrorString(status) + "\" (" +
                cudaGetErrorName(status) + ")");
  }
}

}  // namespace sdlora::detail
