#pragma once

#include <sdlora/training/adamw.hpp>
#include <sdlora/training/detail/adamw_kernels.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace sdlora_test {

/// Steps of AdamW with decay against those of the host; the moments go on from step to step.
template <class Device>
void check_adamw_kernel(Device& device, std::size_t count) {
  using namespace sdlora;
  CAPTURE(count);
  Normals normals(count);
  auto values = normals.vector<float>(count);
  std::vector<float> first(count, 0.0F), second(count, 0.0F);
  Guarded<Device> device_values(values, Guarded<Device>::added_to),
      device_first(first, Guarded<Device>::added_to), device_second(second, Guarded<Device>::added_to);
  for (int step = 1; step <= 3; ++step) {
    CAPTURE(step);
    auto gradients = normals.vector<float>(count, 0.01);
    if (count > 1) gradients[count / 2] = 0.0F;
    Guarded<Device> device_gradients(gradients);
    const double correction1 = 1.0 - std::pow(0.9, step), correction2 = 1.0 - std::pow(0.999, step);
    const detail::AdamWFactors<float> factors{0.9F,
                                              0.999F,
                                              0.1F,
                                              0.001F,
                                              0.97F,
                                              static_cast<float>(0.02 / correction1),
                                              static_cast<float>(1.0 / std::sqrt(correction2)),
                                              1e-8F};
    detail::adamw_update(values.data(), first.data(), second.data(), gradients.data(), count, factors);
    detail::run_adamw(device, device_values.data(), device_first.data(), device_second.data(),
                      device_gradients.data(), count, factors);
    CHECK(relative_error(device_first.values(), first) <= 1e-6);
    CHECK(relative_error(device_second.values(), second) <= 1e-6);
    CHECK(relative_error(device_values.values(), values) <= 1e-6);
  }
}

template <class Device>
void check_sum_of_squares_kernel(Device& device, std::size_t count) {
  using namespace sdlora;
  CAPTURE(count);
  const auto values = Normals(count).vector<float>(count, 3.0);
  double expected = 0.0;
  for (const float value : values) expected += static_cast<double>(value) * static_cast<double>(value);
  Guarded<Device> device_values(values);
  Guarded<Device> parts(
      std::vector<float>(detail::sum_of_squares_parts(count), std::numeric_limits<float>::quiet_NaN()));
  detail::run_sum_of_squares(device, device_values.data(), count, parts.data());
  double sum = 0.0;
  for (const float part : parts.values()) sum += static_cast<double>(part);
  CHECK(std::abs(sum - expected) <= 1e-6 * expected);
}

template <class Device>
void check_adamw_kernels(Device& device) {
  for (const std::size_t count : {0U, 1U, 257U, 1024U, 2311U}) check_adamw_kernel(device, count);
  for (const std::size_t count : {0U, 1U, 255U, 2048U, 5003U}) check_sum_of_squares_kernel(device, count);
}

}  // namespace sdlora_test
