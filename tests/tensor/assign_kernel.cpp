#include <sdlora/tensor/emulated.hpp>

#include "support/device_copies.hpp"
#include "support/expression_cases.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("assignment kernels in the emulator: float") {
  check_expressions<float>(CopyThrough<Emulated>{}, {{1, 1}, {5, 1}, {1, 31}, {7, 33}, {129, 3}, {2, 1029}});
}

TEST_CASE("assignment kernels in the emulator: double") {
  check_expressions<double>(CopyThrough<Emulated>{}, {{3, 65}, {1, 1024}});
}

TEST_CASE("an assignment is one kernel") {
  using Matrix = Tensor<float, Extents<dyn, dyn>, Emulated>;
  Matrix a(5, 33), b(5, 33), y(5, 33);
  const auto launches = [before = Launcher<Emulated>::launches()] {
    return Launcher<Emulated>::launches() - before;
  };
  y = a * b + exp(a) - silu(b * 2.0F);
  CHECK(launches() == 1);
  y = a * rsqrt(mean(a * a) + 1e-5F);
  CHECK(launches() == 2);
  y += a;
  CHECK(launches() == 3);
}

TEST_CASE("the same cases on the host") {
  check_expressions<float>(CopyThrough<Cpu>{}, {{1, 1}, {5, 1}, {7, 33}, {2, 1029}});
}

TEST_CASE("assignment kernels in the emulator: quotients, a NaN in a row, no memory") {
  const CopyThrough<Emulated> transfer;
  Tensor<float, Extents<3, 40>> host;
  host.fill(6);
  host(1, 37) = std::numeric_limits<float>::quiet_NaN();
  Tensor<float, Extents<3, 40>, Emulated> x = transfer.put(host);
  const Tensor<float, Extents<3, 1>, Emulated> largest = max(x);
  CHECK(transfer.get(largest)(0, 0) == 6);
  CHECK(std::isnan(transfer.get(largest)(1, 0)));
  x /= 4;
  CHECK(transfer.get(x)(2, 39) == 1.5F);
  const auto taken = std::move(x);
  CHECK_THROWS_AS(x += 1, ShapeError);
}
