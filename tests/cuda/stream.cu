#include <sdlora/tensor/cuda/storage.cuh>
#include <sdlora/tensor/cuda/stream.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("CUDA streams: the current one of a thread") {
  CHECK(CudaStream::current().get() == nullptr);
  int nothing = 0;
  const auto handle = reinterpret_cast<cudaStream_t>(&nothing);  // only compared
  {
    const CudaStreamScope outer(CudaStream::borrow(handle));
    CHECK(CudaStream::current().get() == handle);
    {
      const CudaStreamScope inner((CudaStream()));
      CHECK(CudaStream::current().get() == nullptr);
    }
    CHECK(CudaStream::current().get() == handle);
  }
  CHECK(CudaStream::current().get() == nullptr);
  if (!has_cuda_device()) CHECK_THROWS_AS(CudaStream::create(), Error);
}

TEST_CASE("CUDA streams: order, and memory that outlives its stream's handle") {
  if (skip_without_device(has_cuda_device())) return;
  const CudaStream first = CudaStream::create();
  Storage<float, Cuda> memory;
  {
    const CudaStream second = CudaStream::create();
    const CudaStreamScope scope(second);
    memory = Storage<float, Cuda>(100);
    Storage<float, Cuda>::zero(memory.data(), 100);
    first.wait_for(second);
  }
  first.wait();
  float value = 1;
  detail::check_cuda(cudaMemcpy(&value, memory.data() + 99, sizeof value, cudaMemcpyDeviceToHost), "read");
  CHECK(value == 0);
}
