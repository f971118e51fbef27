#pragma once

#include "../../../tensor/bfloat16.hpp"
#include "../../../tensor/cuda/launch.cuh"

#include <cuda_bf16.h>
#include <cstdint>
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

  /// Two BFloat16 in a word, the first in its lower half.
  __host__ __device__ std::uint32_t narrow_two([[maybe_unused]] float first,
                                               [[maybe_unused]] float second) const {
#if defined(__CUDA_ARCH__)
    const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<const std::uint32_t*>(&both);
#else
    return 0;
#endif
  }
};

}  // namespace sdlora::detail
