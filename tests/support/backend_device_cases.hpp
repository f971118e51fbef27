#pragma once

#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/tensor.hpp>
#include <sdlora/tensor/weight_matmul.hpp>

#include "device_copies.hpp"
#include "guarded.hpp"
#include "matmul_kernel_cases.hpp"
#include "numbers.hpp"
#include "weight_cases.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

// Products of a device by whatever multiplies there against the host's, of whole numbers: no order of
// additions rounds their sums, so all bits are the same.
namespace sdlora_test {

/// A device's memory as `Guarded` takes it.
template <class Device>
struct DeviceMemory {
  template <class T>
  class Buffer {
   public:
    explicit Buffer(const std::vector<T>& values) : storage_(values.size()) {
      sdlora::Storage<T, Device>::write(storage_.data(), values.data(), values.size());
    }
    T* data() { return storage_.data(); }
    std::vector<T> read() const {
      std::vector<T> values(storage_.capacity());
      sdlora::Storage<T, Device>::read(values.data(), storage_.data(), values.size());
      return values;
    }

   private:
    sdlora::Storage<T, Device> storage_;
  };
};

template <class Device, class T>
sdlora::MatrixView<T, Device> on_device(sdlora::MatrixView<T> view) {
  return {view.data, view.rows, view.cols, view.stride};
}

/// Operands and out lie among NaN, their rows apart; single rows have strides of no meaning.
template <bool TransposeA, bool TransposeB, class Device>
void check_backend_product(const MatmulShape& shape, sdlora::Write write, float scale) {
  using namespace sdlora;
  CAPTURE(shape.m);
  CAPTURE(shape.n);
  CAPTURE(shape.k);
  CAPTURE(TransposeA);
  CAPTURE(TransposeB);
  const auto [m, n, k] = shape;
  const auto a = exact_values(m * k, 1), b = exact_values(k * n, 2), before = exact_values(m * n, 3);
  const std::size_t a_rows = TransposeA ? k : m, a_cols = TransposeA ? m : k;
  const std::size_t b_rows = TransposeB ? n : k, b_cols = TransposeB ? k : n;
  std::vector<float> expected = before;
  detail::matmul<TransposeA, TransposeB>(MatrixView<float>(expected.data(), m, n),
                                         MatrixView<const float>(a.data(), a_rows, a_cols),
                                         MatrixView<const float>(b.data(), b_rows, b_cols), write, scale);
  Guarded<DeviceMemory<Device>> left(a_rows, a_cols, 3, a), right(b_rows, b_cols, 7, b);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const bool adds = write == Write::Add;
  Guarded<DeviceMemory<Device>> out(m, n, 5, adds ? before : std::vector<float>(m * n, nan),
                                    adds ? Guarded<DeviceMemory<Device>>::added_to : nan);
  const auto view = [](auto& guarded) {
    MatrixView<float> result = guarded.view();
    if (result.rows == 1) result.stride = 1;
    return on_device<Device>(result);
  };
  detail::matmul<TransposeA, TransposeB, float, Device>(view(out), view(left), view(right), write, scale);
  CHECK(out.values() == expected);
}

template <class Device>
void check_backend_products(const std::vector<MatmulShape>& shapes) {
  using sdlora::Write;
  for (const MatmulShape& shape : shapes) {
    check_backend_product<false, false, Device>(shape, Write::Overwrite, 1.0F);
    check_backend_product<false, true, Device>(shape, Write::Overwrite, -0.5F);
    check_backend_product<true, false, Device>(shape, Write::Add, 2.5F);
  }
}

/// Forward and backward of a weight that is stored as bfloat16 among others, with activations that are none.
template <class Device>
void check_backend_weight(const WeightShape& shape) {
  using namespace sdlora;
  const auto [m, n, k] = shape;
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  const auto activations = [](std::size_t count, std::uint64_t seed) {
    std::vector<float> values = exact_values(count, seed);
    for (float& value : values) value = std::nearbyint(value * 100.3F);  // ten bits
    return values;
  };
  const auto x = activations(m * k, 1), d_y = activations(m * n, 2);
  Tensor<BFloat16, Extents<dyn, dyn>> stored(n, k + 3);
  const auto values = exact_values(n * (k + 3), 3);
  for (std::size_t i = 0; i < values.size(); ++i) stored.data()[i] = BFloat16(values[i]);
  const auto there = CopyThrough<Device>().put(stored);
  const Weight<BFloat16, Cpu> host(stored.matrix().cols_from(1, k));
  const Weight<BFloat16, Device> weight(there.matrix().cols_from(1, k));
  std::vector<float> y(m * n), d_x = exact_values(m * k, 4);
  Guarded<DeviceMemory<Device>> x_there(m, k, 2, x), d_y_there(m, n, 0, d_y);
  Guarded<DeviceMemory<Device>> y_there(m, n, 1, std::numeric_limits<float>::quiet_NaN());
  Guarded<DeviceMemory<Device>> d_x_there(m, k, 0, d_x, Guarded<DeviceMemory<Device>>::added_to);
  matmul(MatrixView<float>(y.data(), m, n), MatrixView<const float>(x.data(), m, k), transposed(host),
         Write::Overwrite, 0.5F);
  matmul(MatrixView<float>(d_x.data(), m, k), MatrixView<const float>(d_y.data(), m, n), host, Write::Add);
  matmul(on_device<Device>(y_there.view()), on_device<Device>(x_there.view()), transposed(weight),
         Write::Overwrite, 0.5F);
  matmul(on_device<Device>(d_x_there.view()), on_device<Device>(d_y_there.view()), weight, Write::Add);
  CHECK(y_there.values() == y);
  CHECK(d_x_there.values() == d_x);
}

}  // namespace sdlora_test
