#pragma once

#include <sdlora/tensor/block_reduce.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace sdlora_test {

/// The sum of a block's values, then their maximum, as each thread gets them.
template <int Threads>
struct SumAndMaximum {
  static constexpr int threads = Threads;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = Threads / 32;
  struct Arguments {
    const float* values;  // (blocks, threads)
    float* sums;
    float* maxima;
  };
  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t i = block.index() * Threads + block.thread();
    x.sums[i] = sdlora::block_reduce<Threads>(block, x.values[i], [](float a, float b) { return a + b; });
    x.maxima[i] =
        sdlora::block_reduce<Threads>(block, x.values[i], [](float a, float b) { return a > b ? a : b; });
  }
};

template <int Threads, class Device>
void check_block_reduce(Device& device, std::size_t blocks) {
  CAPTURE(Threads);
  const auto values = Normals(Threads).vector<float>(blocks * Threads);
  using Buffer = typename Device::template Buffer<float>;
  Buffer in(values), sums(values), maxima(values);
  using Kernel = SumAndMaximum<Threads>;
  device.template run<Kernel>(static_cast<std::int64_t>(blocks), Kernel::shared_floats,
                              {in.data(), sums.data(), maxima.data()});
  const auto all_sums = sums.read(), all_maxima = maxima.read();
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(b * Threads), last = first + Threads;
    const double sum = std::accumulate(first, last, 0.0);
    CHECK(std::abs(static_cast<double>(all_sums[b * Threads]) - sum) <= 1e-5 * Threads);
    CHECK(all_maxima[b * Threads] == *std::max_element(first, last));
    for (std::size_t t = b * Threads; t < (b + 1) * Threads; ++t) {
      if (all_sums[t] != all_sums[b * Threads] || all_maxima[t] != all_maxima[b * Threads]) {
        FAIL_CHECK("thread " << t << " got another value");
      }
    }
  }
}

template <class Device>
void check_block_reduce(Device& device) {
  check_block_reduce<32>(device, 3);
  check_block_reduce<96>(device, 2);
  check_block_reduce<256>(device, 2);
  check_block_reduce<1024>(device, 1);
}

}  // namespace sdlora_test
