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
        const CudaLinearScan x{.a = device_a.data(),
                               .b = device_b.data(),
                               .h = h.data(),
                               .length = length,
                               .columns = columns,
                               .time_stride = 1,
                               .column_stride = length,
                               .initial = device_initial.data()};
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

// How scans over all columns as one sequence read and write, on the host.
TEST_CASE("concatenated columns: layouts, reverse, exclusive") {
  constexpr std::int64_t length = 5, columns = 3;
  for (const bool time_contiguous : {true, false}) {
    for (const bool reverse : {false, true}) {
      for (const bool exclusive : {false, true}) {
        for (const bool with_initial : {false, true}) {
          std::vector<float> a(length * columns), b(length * columns), h(length * columns, NAN),
              initial{0.5F, -1, 2};
          for (std::size_t i = 0; i < a.size(); ++i) {
            a[i] = 0.5F + 0.25F * static_cast<float>(i % 3);
            b[i] = static_cast<float>(i) - 4;
          }
          CudaLinearScan x{.length = length,
                           .columns = columns,
                           .time_stride = time_contiguous ? 1 : columns,
                           .column_stride = time_contiguous ? length : 1,
                           .initial = with_initial ? initial.data() : nullptr,
                           .exclusive = exclusive};
          const std::int64_t first = reverse ? (length - 1) * x.time_stride : 0;
          if (reverse) x.time_stride = -x.time_stride;
          x.a = a.data() + first;
          x.b = b.data() + first;
          x.h = h.data() + first;
          const auto steps = detail::concatenated_steps(x);
          const auto states = detail::states_out(x);
          LinearStep<float> running;
          for (std::int64_t i = 0; i < length * columns; ++i) {
            running = LinearRecurrence<float>{}(running, *(steps + i));
            *(states + i) = running;
          }
          bool right = true;
          for (std::int64_t c = 0; c < columns; ++c) {
            float state = with_initial ? initial[static_cast<std::size_t>(c)] : 0;
            for (std::int64_t t = 0; t < length; ++t) {
              const std::int64_t at = detail::place_of(x, t, c);
              const float before = state;
              state = x.a[at] * state + x.b[at];
              if (exclusive && t == 0) continue;  // of another kernel
              right = right && std::fabs(x.h[at] - (exclusive ? before : state)) < 1e-5F;
            }
          }
          CHECK(right);
        }
      }
    }
  }
}
