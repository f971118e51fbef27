#pragma once

#include "../../../error.hpp"

#include <cuda_runtime.h>
#include <string>

namespace sdlora::detail {

/// Throws Error where a call of the CUDA runtime failed.
inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw Error(std::string(what) + ": the CUDA runtime says \"" + cudaGetErrorString(status) + "\" (" +
                cudaGetErrorName(status) + ")");
  }
}

}  // namespace sdlora::detail
