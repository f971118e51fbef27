#pragma once

#include <sdlora/tensor/detail/kernels/column_sums.hpp>
#include <sdlora/tensor/functions.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sdlora_test {

/// Σ over rows of x · y · scale, as the gradient of a norm's weight is, with scale (rows, 1).
template <sdlora::AssignMode Mode, class Device>
void check_column_sums_kernels(Device& device, std::size_t rows, std::size_t columns) {
  using namespace sdlora;
  CAPTURE(rows);
  CAPTURE(columns);
  Normals normals(rows + 1009 * columns);
  const auto x = normals.vector<float>(rows * columns), y = normals.vector<float>(rows * columns),
             scale = normals.vector<float>(rows), before = normals.vector<float>(columns);
  std::vector<double> expected(columns, 0.0);
  for (std::size_t j = 0; j < columns; ++j) {
    if (Mode == AssignMode::Add) expected[j] = static_cast<double>(before[j]);
    for (std::size_t i = 0; i < rows; ++i) {
      expected[j] += static_cast<double>(x[i * columns + j]) * static_cast<double>(y[i * columns + j]) *
                     static_cast<double>(scale[i]);
    }
  }
  Guarded<Device> device_x(rows, columns, 3, x), device_y(rows, columns, 0, y),
      device_scale(rows, 1, 1, scale);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  Guarded<Device> out(Mode == AssignMode::Add ? before : std::vector<float>(columns, nan),
                      Mode == AssignMode::Add ? Guarded<Device>::added_to : nan);
  const auto r = static_cast<std::int64_t>(rows), c = static_cast<std::int64_t>(columns);
  Guarded<Device> scratch(std::vector<float>(detail::column_sum_values(r, c), nan));
  const auto node = MatrixView<const float>(device_x.view()) * MatrixView<const float>(device_y.view()) *
                    MatrixView<const float>(device_scale.view());
  detail::run_column_sums<Mode>(device, out.data(), r, c, node.bind(Extents<dyn, dyn>(rows, columns)),
                                scratch.data());
  CHECK(relative_error(out.values(), expected) <= 2e-6);
  for (const float part : scratch.values()) CHECK(part == part);
}

template <class Device>
void check_column_sums_kernels(Device& device) {
  using sdlora::AssignMode;
  check_column_sums_kernels<AssignMode::Set>(device, 1, 1);
  check_column_sums_kernels<AssignMode::Add>(device, 5, 131);
  check_column_sums_kernels<AssignMode::Add>(device, 97, 3);
  check_column_sums_kernels<AssignMode::Set>(device, 64, 129);
  check_column_sums_kernels<AssignMode::Set>(device, 0, 5);
  check_column_sums_kernels<AssignMode::Add>(device, 3, 0);
}

}  // namespace sdlora_test
