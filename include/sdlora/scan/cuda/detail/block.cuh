#pragma once

#include "../../../tensor/cuda/launch.cuh"
#include "../../bfloat16.hpp"

#include <cuda_bf16.h>
#include <type_traits>

namespace sdlora::detail {

/// The block policy of scan kernels on a GPU; `EmulatedBlock` (emulator.hpp) has the same members.
class CudaScanBlock : public CudaBlock {
 public:
  using CudaBlock::CudaBlock;

  template <class IO>
  __host__ __device__ IO narrow(float x) const {
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<IO, BFloat16>) {
      BFloat16 result;
      result.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
      return result;
    } else {
      return IO(x);
    }
#else
    return IO(x);
#endif
  }
};

}  // namespace sdlora::detail
