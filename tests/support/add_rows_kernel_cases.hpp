#pragma once

#include <sdlora/tensor/detail/kernels/add_rows.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sdlora_test {

/// Rows added in their order by the kernel: the very bits of a loop on the host.
template <class Device>
void check_add_rows_kernel(Device& device, std::size_t rows, std::size_t columns,
                           const std::vector<std::int32_t>& ids) {
  CAPTURE(columns);
  Normals normals(columns);
  const auto x = normals.vector<float>(ids.size() * columns);
  std::vector<float> expected = normals.vector<float>(rows * columns);
  Guarded<Device> out(rows, columns, 2, expected, Guarded<Device>::added_to),
      added(ids.size(), columns, 3, x);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      expected[static_cast<std::size_t>(ids[i]) * columns + j] += x[i * columns + j];
    }
  }
  typename Device::template Buffer<std::int32_t> device_ids(ids);
  sdlora::detail::run_add_rows(device, out.view(), added.view(), device_ids.data());
  CHECK(out.values() == expected);
}

template <class Device>
void check_add_rows_kernel(Device& device) {
  check_add_rows_kernel(device, 1, 1, {0});
  check_add_rows_kernel(device, 1, 5, {0, 0, 0, 0, 0, 0, 0});
  check_add_rows_kernel(device, 71, 3, {70, 1, 33, 1, 0, 1, 65, 32, 70, 33, 1});
  check_add_rows_kernel(device, 40, 131, {39, 7, 39, 31, 32, 7, 7, 0});
  check_add_rows_kernel(device, 1100, 1, {1099, 3, 1024, 1099});
  check_add_rows_kernel(device, 3, 4, {});
}

}  // namespace sdlora_test
