#pragma once

#include <sdlora/scan/cuda/detail/launch.cuh>

#include <cuda_runtime.h>
#include <cstddef>
#include <vector>

namespace sdlora_test {

inline bool has_cuda_device() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) static_cast<void>(cudaGetLastError());
  return status == cudaSuccess && count > 0;
}

/// The GPU as the cases of scan kernels see it.
struct CudaDevice : sdlora::detail::CudaScanLauncher {
  explicit CudaDevice(cudaStream_t stream = nullptr) : ScanLauncher(stream, "scan kernels") {}
  /// Its exponentials are within two units in the last place, and may be wrong to one side.
  static constexpr double slack = 2.5;

  template <class T>
  class Buffer {
   public:
    explicit Buffer(const std::vector<T>& values) : count_(values.size()) {
      sdlora::detail::check_cuda(cudaMalloc(&data_, count_ * sizeof(T) + 1), "cudaMalloc");
      sdlora::detail::check_cuda(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice),
                                 "cudaMemcpy");
    }
    ~Buffer() { cudaFree(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() { return data_; }
    std::vector<T> read() const {
      std::vector<T> values(count_);
      sdlora::detail::check_cuda(cudaDeviceSynchronize(), "kernel");
      sdlora::detail::check_cuda(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost),
                                 "cudaMemcpy");
      return values;
    }

   private:
    T* data_ = nullptr;
    std::size_t count_;
  };
};

}  // namespace sdlora_test
