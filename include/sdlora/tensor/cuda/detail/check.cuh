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

/// For destructors: the runtime forgets a failure that nobody can be told of.
inline void ignore_failure(cudaError_t status) noexcept {
  if (status != cudaSuccess) static_cast<void>(cudaGetLastError());
}

}  // namespace sdlora::detail
