#include <sdlora/tensor/column_sums.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support/device_copies.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {
template <class Device>
void check_sums(std::size_t rows, std::size_t cols) {
  CAPTURE(rows);
  CAPTURE(cols);
  using Matrix = Tensor<float, Extents<dyn, dyn>>;
  const CopyThrough<Device> transfer;
  Matrix x(rows, cols), scale(rows, 1), before(1, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    scale(i, 0) = static_cast<float>(i % 3) - 1;
    for (std::size_t j = 0; j < cols; ++j) x(i, j) = static_cast<float>((7 * i + 3 * j) % 11);
  }
  before.fill(2);
  const auto device_x = transfer.put(x), device_scale = transfer.put(scale);
  auto sums = transfer.put(before);
  assign_column_sums<AssignMode::Add>(sums.matrix(), device_x * device_scale);
  const Matrix added = transfer.get(sums);
  assign_column_sums(sums.matrix(), device_x * device_scale);
  const Matrix set = transfer.get(sums);
  for (std::size_t j = 0; j < cols; ++j) {
    float expected = 0;
    for (std::size_t i = 0; i < rows; ++i) expected += x(i, j) * scale(i, 0);
    CHECK(set(0, j) == expected);
    CHECK(added(0, j) == expected + 2);
  }
  CHECK_THROWS_AS(assign_column_sums(sums.matrix().cols_from(0, cols - 1), device_x * 1.0F), ShapeError);
}
}  // namespace

TEST_CASE("sums of columns") {
  for (const std::size_t cols : {1U, 5U, 64U, 131U}) {
    for (const std::size_t rows : {0U, 1U, 37U}) check_sums<Cpu>(rows, cols);
  }
  check_sums<Emulated>(37, 131);
  check_sums<Emulated>(0, 1);
}
