#include <sdlora/scan/cuda/linear_scan.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("linear scans on the GPU agree with the sequential one") {
  if (skip_without_device(has_cuda_device())) return;
  std::mt19937 random(3);
  const auto draw = [&](float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24F;
  };
  for (const std::int64_t length : {1, 31, 33, 1024, 1025, 5003}) {
    for (const std::int64_t columns : {1, 7, 130}) {
      const auto size = static_cast<std::size_t>(length * columns);
      std::vector<float> a(size), b(size), initial(static_cast<std::size_t>(columns)), expected(size);
      for (std::size_t i = 0; i < size; ++i) {
        a[i] = i % 97 == 5 ? 0.0F : draw(0.5F, 1.0F);
        b[i] = draw(-1, 1);
      }
      for (auto& value : initial) value = draw(-1, 1);
      for (std::size_t c = 0; c < static_cast<std::size_t>(columns); ++c) {
        double state = static_cast<double>(initial[c]);
        for (std::size_t t = 0; t < static_cast<std::size_t>(length); ++t) {
          const std::size_t i = c * static_cast<std::size_t>(length) + t;
          state = static_cast<double>(a[i]) * state + static_cast<double>(b[i]);
          expected[i] = static_cast<float>(state);
        }
      }
      CudaDevice::Buffer<float> device_a(a), device_b(b), device_initial(initial);
      for_each_cuda_scan([&](auto policy) {
        CudaDevice::Buffer<float> h(std::vector<float>(size, NAN));
        const CudaLinearScan x{device_a.data(), device_b.data(),      h.data(), length, columns, 1,
                               length,          device_initial.data()};
        const std::size_t bytes = policy.workspace_bytes(x);
        CudaDevice::Buffer<char> workspace(std::vector<char>(bytes + 1));
        cuda_linear_scan(policy, nullptr, x, workspace.data(), bytes);
        const auto found = h.read();
        double worst = 0;
        bool finite = true;
        for (std::size_t i = 0; i < size; ++i) {
          finite = finite && std::isfinite(found[i]);
          worst = std::max(worst, static_cast<double>(std::fabs(found[i] - expected[i])));
        }
        const std::string title = std::string(policy.name) + ", L " + std::to_string(length) + ", columns " +
                                  std::to_string(columns);
        INFO(title);
        CHECK(finite);
        CHECK(worst < 2e-5);
      });
    }
  }
}

TEST_CASE("linear scans on the GPU say which layout they need") {
  CudaLinearScan x;
  x.length = 4;
  x.columns = 2;
  x.time_stride = 2;
  x.column_stride = 1;
  CHECK_THROWS_AS(cuda_linear_scan(CudaLookBack{}, nullptr, x, nullptr, 0), ShapeError);
  CHECK_THROWS_AS(cuda_linear_scan(CudaThrustScan{}, nullptr, x, nullptr, 0), ShapeError);
}
