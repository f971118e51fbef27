#pragma once

#include <cstddef>
#include <cstdint>

namespace sdlora::detail {

/// `Width` floats, 1, 2 or 4, aligned to as many, in one access.
template <int Width>
__host__ __device__ void load_floats(const float* from, float* out) {
  if constexpr (Width == 4) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    out[0] = v.x;
    out[1] = v.y;
    out[2] = v.z;
    out[3] = v.w;
  } else if constexpr (Width == 2) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    out[0] = v.x;
    out[1] = v.y;
  } else {
    out[0] = *from;
  }
}
template <int Width>
__host__ __device__ void store_floats(float* to, const float* values) {
  if constexpr (Width == 4) {
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
  } else if constexpr (Width == 2) {
    *reinterpret_cast<float2*>(to) = make_float2(values[0], values[1]);
  } else {
    *to = values[0];
  }
}

/// Shared memory of a block as kernels see it: floats at an offset.
struct CudaShared {
  float* base;

  __host__ __device__ CudaShared from(int floats) const { return {base + floats}; }
  __host__ __device__ float load(int i) const { return base[i]; }
  __host__ __device__ void store(int i, float value) const { base[i] = value; }

  template <int Width>
  __host__ __device__ void load_vector(int i, float* out) const {
    load_floats<Width>(base + i, out);
  }
  template <int Width>
  __host__ __device__ void store_vector(int i, const float* values) const {
    store_floats<Width>(base + i, values);
  }
};

/// The block policy on a GPU, as kernels are written against it. Bodies of members exist in device code
/// only: kernels are host/device templates, and nvcc compiles both sides.
class CudaBlock {
 public:
  __host__ __device__ explicit CudaBlock(float* shared) : shared_(shared) {}

  __host__ __device__ int thread() const {
#if defined(__CUDA_ARCH__)
    return static_cast<int>(threadIdx.x);
#else
    return 0;
#endif
  }
  __host__ __device__ std::int64_t index() const {
#if defined(__CUDA_ARCH__)
    return static_cast<std::int64_t>(blockIdx.x);
#else
    return 0;
#endif
  }
  __host__ __device__ CudaShared shared() const { return {shared_}; }

  __host__ __device__ void sync() const {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }
  __host__ __device__ void sync_warp() const {
#if defined(__CUDA_ARCH__)
    __syncwarp();
#endif
  }
  __host__ __device__ float shuffle_xor(float value, [[maybe_unused]] int mask) const {
#if defined(__CUDA_ARCH__)
    return __shfl_xor_sync(0xffff'ffffU, value, mask);
#else
    return value;
#endif
  }

  /// An operand's modifier, not an instruction.
  __host__ __device__ float absolute(float x) const {
#if defined(__CUDA_ARCH__)
    return fabsf(x);
#else
    return x;
#endif
  }
  /// One instruction; relative error 2^-22, values below 2^-126 become 0.
  __host__ __device__ float exp2(float x) const {
#if defined(__CUDA_ARCH__)
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    return x;
#endif
  }
  /// One instruction; relative error 2^-23.
  __host__ __device__ float reciprocal(float x) const {
#if defined(__CUDA_ARCH__)
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    return x;
#endif
  }

  /// `Width` values, aligned to their size together, in one access.
  template <int Width, class T>
  __host__ __device__ void load_vector(const T* from, T* values) const {
    const auto all = *reinterpret_cast<const Together<Width, T>*>(from);
    for (int i = 0; i < Width; ++i) values[i] = all.values[i];
  }
  template <int Width, class T>
  __host__ __device__ void store_vector(T* to, const T* values) const {
    Together<Width, T> all;
    for (int i = 0; i < Width; ++i) all.values[i] = values[i];
    *reinterpret_cast<Together<Width, T>*>(to) = all;
  }

 private:
  template <int Width, class T>
  struct alignas(Width * sizeof(T)) Together {
    T values[Width];
  };

  float* shared_;
};

}  // namespace sdlora::detail
