#include "support/emulated_device.hpp"
#include "support/matmul_kernel_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora_test;

TEST_CASE("matmul kernels in the emulator: the host's products") {
  EmulatedDevice device(5);
  check_matmul_kernels(device, {{1, 1, 7}, {5, 3, 16}, {64, 64, 17}, {65, 2, 33}, {3, 67, 5}, {131, 71, 13}});
}

TEST_CASE("matmul kernels: a block for each tile, none without values") {
  using Kernel = sdlora::detail::MatmulKernel<false, true, sdlora::Write::Add>;
  CHECK(Kernel::blocks(1, 1) == 1);
  CHECK(Kernel::blocks(64, 65) == 2);
  CHECK(Kernel::blocks(129, 64) == 3);
  CHECK(Kernel::blocks(1 << 20, 50280) == (std::int64_t{1} << 14) * 786);
}
