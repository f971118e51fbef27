#include <sdlora/tensor/cuda/storage.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

static_assert(std::is_nothrow_move_constructible_v<Storage<float, Cuda>>);
static_assert(std::is_nothrow_move_assignable_v<Storage<float, Cuda>>);
static_assert(!std::is_copy_constructible_v<Storage<float, Cuda>>);

namespace {

std::vector<int> read(const int* p, std::size_t count) {
  std::vector<int> values(count);
  detail::check_cuda(cudaMemcpy(values.data(), p, count * sizeof(int), cudaMemcpyDeviceToHost), "read");
  return values;
}

}  // namespace

TEST_CASE("device storage: empty storage needs no device") {
  Storage<float, Cuda> empty;
  Storage<float, Cuda> none(0);
  CHECK(empty.data() == nullptr);
  CHECK(none.data() == nullptr);
  Storage<float, Cuda>::zero(nullptr, 0);
  Storage<float, Cuda>::copy(nullptr, nullptr, 0);
  empty = std::move(none);
  CHECK(empty.capacity() == 0);
}

TEST_CASE("device storage: errors carry the text of the CUDA runtime") {
  std::string text;
  try {
    detail::check_cuda(cudaErrorMemoryAllocation, "device memory of a tensor");
  } catch (const Error& error) {
    text = error.what();
  }
  CHECK(text.find("device memory of a tensor") == 0);
  CHECK(text.find("cudaErrorMemoryAllocation") != std::string::npos);
  if (!has_cuda_device()) CHECK_THROWS_AS((Storage<float, Cuda>(7)), Error);
}

TEST_CASE("device storage: zero, copies that overlap, moves, memory comes back") {
  if (skip_without_device(has_cuda_device())) return;
  using Ints = Storage<int, Cuda>;
  Ints a(1000);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  Ints::zero(a.data(), 1000);
  CHECK(read(a.data(), 1000) == std::vector<int>(1000, 0));
  std::vector<int> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
  detail::check_cuda(cudaMemcpy(a.data(), values.data(), 4000, cudaMemcpyHostToDevice), "write");
  Ints::copy(a.data() + 3, a.data(), 997);
  const std::vector<int> moved_up = read(a.data() + 3, 997);
  values.resize(997);
  CHECK(moved_up == values);
  int* const place = a.data();
  Ints b = std::move(a);
  CHECK(a.data() == nullptr);
  CHECK(a.capacity() == 0);
  CHECK(b.data() == place);
  a = std::move(b);
  CHECK(a.data() == place);
  const auto reserved = [] {
    std::uint64_t bytes = 0;
    detail::check_cuda(
        cudaMemPoolGetAttribute(detail::cuda_pool(), cudaMemPoolAttrReservedMemCurrent, &bytes), "pool");
    return bytes;
  };
  const std::uint64_t before = reserved();
  CHECK(before >= 4000);
  for (int i = 0; i < 100; ++i) a = Ints(1000);
  a = Ints();
  detail::check_cuda(cudaDeviceSynchronize(), "pool");
  CHECK(reserved() == before);
  release_cuda_memory();
  CHECK(reserved() < before);
}

TEST_CASE("device storage: more than there is") {
  if (skip_without_device(has_cuda_device())) return;
  CHECK_THROWS_AS((Storage<float, Cuda>(std::size_t{1} << 50)), Error);
  CHECK(cudaPeekAtLastError() == cudaSuccess);  // else the next launch would report it
}
