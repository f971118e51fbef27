#include <sdlora/tensor/dropout_mask.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support/device_copies.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE(
    "a mask of dropout has its rate, keeps the mean, and is the same on every device and shape of loop") {
  const RandomStream random(5, 7);
  const std::size_t rows = 61, cols = 43;
  using Matrix = Tensor<float, Extents<dyn, dyn>>;
  Matrix ones(rows, cols);
  ones.fill(1);
  const Matrix flat = ones * dropout_mask<float>(random, 0.25, rows, cols);
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      const bool zero = random.uniform(i * cols + j) < 0.25;
      CHECK(flat(i, j) == (zero ? 0.0F : static_cast<float>(1.0 / 0.75)));
      dropped += zero ? 1U : 0U;
    }
  }
  CHECK(static_cast<double>(dropped) / static_cast<double>(rows * cols) ==
        doctest::Approx(0.25).epsilon(0.1));

  Matrix wide(rows, cols + 3);
  const MatrixView<float> part = wide.matrix().cols_from(2, cols);
  assign(part, ones.matrix() * dropout_mask<float>(random, 0.25, rows, cols));
  const CopyThrough<Emulated> transfer;
  auto there = transfer.put(ones);
  there *= dropout_mask<float>(random, 0.25, rows, cols);
  const Matrix back = transfer.get(there);
  bool same = true;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j)
      same = same && part(i, j) == flat(i, j) && back(i, j) == flat(i, j);
  }
  CHECK(same);
}
