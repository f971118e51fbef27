#pragma once

#include "detail/check.cuh"

#include <cuda_runtime.h>
#include <memory>
#include <utility>

namespace sdlora {

/// A queue of work on the GPU: a shared handle, cheap to copy; the stream lives as long as a handle of it.
/// By default the legacy stream, which does not wait for those of `create()`, nor they for it.
class CudaStream {
 public:
  CudaStream() = default;

  /// A new stream of the current device, which waits for no other. Throws Error.
  static CudaStream create() {
    cudaStream_t stream{};
    detail::check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "CudaStream");
    CudaStream result;
    result.stream_ = {stream, [](cudaStream_t old) { detail::ignore_failure(cudaStreamDestroy(old)); }};
    return result;
  }
  /// A stream that somebody else keeps for as long as it is used here.
  static CudaStream borrow(cudaStream_t stream) {
    CudaStream result;
    result.stream_ = {stream, [](cudaStream_t) {}};
    return result;
  }

  cudaStream_t get() const { return stream_.get(); }

  /// Returns when all work so far is done. Throws Error, also that of a kernel that failed before.
  void wait() const { detail::check_cuda(cudaStreamSynchronize(get()), "CudaStream"); }

  /// Work that is queued here from now on begins after all that is queued on `other` so far.
  void wait_for(const CudaStream& other) const {
    cudaEvent_t event{};
    detail::check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "CudaStream");
    cudaError_t status = cudaEventRecord(event, other.get());
    if (status == cudaSuccess) status = cudaStreamWaitEvent(get(), event, 0);
    cudaEventDestroy(event);
    detail::check_cuda(status, "CudaStream");
  }

  /// The stream that device tensors of this thread are allocated and evaluated on; `CudaStreamScope` sets it.
  static const CudaStream& current() { return slot(); }

 private:
  friend class CudaStreamScope;
  static CudaStream& slot() {
    static thread_local CudaStream stream;
    return stream;
  }

  std::shared_ptr<CUstream_st> stream_;
};

/// Until its end, device tensors of this thread work on another stream. Tensors that are used on more than
/// one stream need CudaStream::wait_for between the uses.
class CudaStreamScope {
 public:
  explicit CudaStreamScope(CudaStream stream)
      : before_(std::exchange(CudaStream::slot(), std::move(stream))) {}
  ~CudaStreamScope() { CudaStream::slot() = std::move(before_); }
  CudaStreamScope(const CudaStreamScope&) = delete;
  CudaStreamScope& operator=(const CudaStreamScope&) = delete;

 private:
  CudaStream before_;
};

}  // namespace sdlora
