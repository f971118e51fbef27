#include "support/emulated_device.hpp"
#include "support/numbers.hpp"

#include <sdlora/tensor/detail/kernels/round.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("rounding kernel: every value once, to the nearest bfloat16, and nothing beside them") {
  EmulatedDevice device(3);
  for (const std::size_t cols : {1U, 255U, 1024U, 1025U, 2051U}) {
    for (const std::size_t rows : {1U, 3U}) {
      CAPTURE(cols);
      CAPTURE(rows);
      auto from = Normals(cols).vector<float>(rows * (cols + 2), 100.0);
      from[0] = std::numeric_limits<float>::quiet_NaN();
      from[rows * (cols + 2) - 3] = std::numeric_limits<float>::max();  // rounds to infinity
      const BFloat16 untouched(7.0F);
      std::vector<BFloat16> to(rows * (cols + 1), untouched);
      detail::run_round(device, {to.data(), rows, cols, cols + 1}, {from.data(), rows, cols, cols + 2});
      bool right = true;
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          right = right && to[i * (cols + 1) + j].bits == BFloat16(from[i * (cols + 2) + j]).bits;
        }
        right = right && to[i * (cols + 1) + cols].bits == untouched.bits;
      }
      CHECK(right);
    }
  }
  detail::run_round(device, {nullptr, 0, 5}, {nullptr, 0, 5});
  detail::run_round(device, {nullptr, 4, 0}, {nullptr, 4, 0});
}
