#pragma once

#include <sdlora/model/cross_entropy.hpp>
#include <sdlora/model/detail/cross_entropy_kernels.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sdlora_test {

/// Rows of logits of a spread against the definition in double and, with the identity as the head's
/// weights, against head_cross_entropy.
template <class Device>
void check_cross_entropy_kernels(Device& device, std::size_t rows, std::size_t V, double spread,
                                 double shift = 0.0) {
  using namespace sdlora;
  CAPTURE(V);
  CAPTURE(spread);
  CAPTURE(shift);
  Normals normals(V + rows);
  const auto logits = normals.vector<float>(rows * V, spread, shift);
  const float scale = 0.37F;
  std::vector<std::int32_t> targets(rows);
  for (std::size_t i = 0; i < rows; ++i) targets[i] = static_cast<std::int32_t>((i * 311 + V - 1) % V);

  std::vector<double> losses, d_logits;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto logit = [&](std::size_t j) { return static_cast<double>(logits[i * V + j]); };
    double top = logit(0), sum = 0.0;
    for (std::size_t j = 0; j < V; ++j) top = std::max(top, logit(j));
    for (std::size_t j = 0; j < V; ++j) sum += std::exp(logit(j) - top);
    const auto target = static_cast<std::size_t>(targets[i]);
    losses.push_back(std::log(sum) + top - logit(target));
    for (std::size_t j = 0; j < V; ++j) {
      d_logits.push_back(static_cast<double>(scale) * (std::exp(logit(j) - top) / sum - (j == target)));
    }
  }

  typename Device::template Buffer<std::int32_t> device_targets(targets);
  for (const bool wants_gradient : {true, false}) {
    Guarded<Device> values(rows, V, 3, logits);
    Guarded<Device> found(std::vector<float>(rows, std::numeric_limits<float>::quiet_NaN()));
    detail::run_cross_entropy(device, values.view(), device_targets.data(), found.data(), wants_gradient,
                              scale);
    CHECK(relative_error(found.values(), losses) <= 1e-6);
    if (wants_gradient) {
      CHECK(relative_error(values.values(), d_logits) <= 1e-6);
    } else {
      CHECK(values.values() == logits);
    }
    if (wants_gradient && V <= 64) {
      std::vector<float> identity(V * V, 0.0F), d_h(rows * V);
      for (std::size_t j = 0; j < V; ++j) identity[j * V + j] = 1.0F;
      Workspace workspace;
      const MatrixView<const float> weights(identity.data(), V, V);
      const Loss loss =
          head_cross_entropy({logits.data(), rows, V}, weights, std::span<const std::int32_t>(targets), scale,
                             {d_h.data(), rows, V}, {}, workspace);
      double sum = 0.0;
      for (const float value : found.values()) sum += static_cast<double>(value);
      CHECK(sum == doctest::Approx(loss.sum).epsilon(1e-5));
      CHECK(relative_error(values.values(), d_h) <= 1e-5);
    }
  }
}

template <class Device>
void check_cross_entropy_kernels(Device& device) {
  check_cross_entropy_kernels(device, 1, 1, 1.0);
  check_cross_entropy_kernels(device, 3, 2, 1.0);
  check_cross_entropy_kernels(device, 2, 61, 3.0, -200.0);
  check_cross_entropy_kernels(device, 2, 257, 10.0, 500.0);
  check_cross_entropy_kernels(device, 1, 1031, 0.01);
  check_cross_entropy_kernels(device, 0, 5, 1.0);
}

}  // namespace sdlora_test
