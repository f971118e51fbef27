#include <sdlora/tensor/cuda/launch.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Adds up a block's thread numbers through shuffles and shared memory.
struct SumOfThreads {
  static constexpr int threads = 64;
  static constexpr int resident_blocks = 1;
  struct Arguments {
    float* out;
  };
  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    auto value = static_cast<float>(block.thread());
    for (int mask = 1; mask < 32; mask *= 2) value += block.shuffle_xor(value, mask);
    const auto shared = block.shared();
    if (block.thread() % 32 == 0) shared.store(block.thread() / 32, value);
    block.sync();
    if (block.thread() == 0) x.out[block.index()] = shared.load(0) + shared.load(1);
  }
};

}  // namespace

TEST_CASE("kernel bodies on the GPU") {
  if (skip_without_device(has_cuda_device())) return;
  CudaDevice::Buffer<float> out(std::vector<float>(5));
  Launcher<Cuda> launcher(nullptr, "a test");
  launcher.run<SumOfThreads>(0, 2, {nullptr});
  launcher.run<SumOfThreads>(5, 2, {out.data()});
  CHECK(out.read() == std::vector<float>(5, 2016.0F));
}

TEST_CASE("kernel bodies on the GPU: more blocks than a launch can hold") {
  std::string text;
  try {
    Launcher<Cuda>(nullptr, "a test").run<SumOfThreads>(std::int64_t{1} << 31, 2, {nullptr});
  } catch (const ShapeError& error) {
    text = error.what();
  }
  CHECK(text.find("a test: 2147483648 blocks") == 0);
}
