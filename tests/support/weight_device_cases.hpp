#pragma once

#include <sdlora/tensor/tensor.hpp>
#include <sdlora/tensor/weight.hpp>
#include <sdlora/tensor/weight_matmul.hpp>

#include "device_copies.hpp"
#include "numbers.hpp"
#include "weight_cases.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace sdlora_test {

/// Products of a weight on a device against the host's.
template <class Device, class Stored, class Products>
void check_weight_on_device(const WeightShape& shape) {
  using namespace sdlora;
  using Matrix = Tensor<float, Extents<dyn, dyn>>;
  const auto [m, n, k] = shape;
  const CopyThrough<Device> transfer;
  const auto filled = [](std::size_t rows, std::size_t cols, std::uint64_t seed) {
    Matrix result(rows, cols);
    Normals(seed).fill(std::span<float>(result.data(), rows * cols), 1.0);
    return result;
  };
  const Matrix x = filled(m, k, 1), d_y = filled(m, n, 2);
  const Matrix values = filled(n, k, 3);
  Tensor<Stored, Extents<dyn, dyn>> stored(n, k);
  Matrix scales(1, n);
  Weight<Stored, Cpu, Products> host;
  Weight<Stored, Device, Products> weight;
  const MatrixView<const float> from = values.matrix();
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    store_values(stored.matrix(), std::span<float>(scales.data(), n), from);
    host = {stored.matrix(), scales.matrix()};
  } else {
    if constexpr (std::is_same_v<Stored, float>) {
      stored = values;
    } else {
      store_values(stored.matrix(), from);
    }
    host = {stored.matrix()};
  }
  const auto on_device = transfer.put(stored);
  const auto scales_on_device = transfer.put(scales);
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    weight = {on_device.matrix(), scales_on_device.matrix()};
  } else {
    weight = {on_device.matrix()};
  }
  Matrix y(m, n), d_x = filled(m, k, 4);
  auto y_there = transfer.put(y);
  auto d_x_there = transfer.put(d_x);
  const auto x_there = transfer.put(x), d_y_there = transfer.put(d_y);
  matmul(y.matrix(), x.matrix(), transposed(host));
  matmul(y_there.matrix(), x_there.matrix(), transposed(weight));
  matmul(d_x.matrix(), d_y.matrix(), host, Write::Add, 0.5F);
  matmul(d_x_there.matrix(), d_y_there.matrix(), weight, Write::Add, 0.5F);
  const auto list = [](const Matrix& t) { return std::vector<float>(t.data(), t.data() + t.size()); };
  // On the host few rows of activations become integers of 16 bits.
  const bool integers = std::is_same_v<Stored, std::int8_t> && std::is_same_v<Products, float> && m <= 8;
  CHECK(relative_error(list(transfer.get(y_there)), list(y)) <= (integers ? 1e-4 : 2e-6));
  CHECK(relative_error(list(transfer.get(d_x_there)), list(d_x)) <= 2e-6);
}

/// Every stored type and type of products.
template <class Device>
void check_weights_on_device() {
  for (const WeightShape& shape : {WeightShape{1, 1, 1}, WeightShape{5, 67, 19}, WeightShape{3, 2, 37}}) {
    check_weight_on_device<Device, BFloat16, BFloat16>(shape);
    check_weight_on_device<Device, std::int8_t, BFloat16>(shape);
    check_weight_on_device<Device, float, BFloat16>(shape);
    check_weight_on_device<Device, BFloat16, float>(shape);
    check_weight_on_device<Device, std::int8_t, float>(shape);
    check_weight_on_device<Device, float, float>(shape);
  }
}

}  // namespace sdlora_test
