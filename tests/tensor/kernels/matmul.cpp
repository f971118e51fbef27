#include "support/emulated_device.hpp"
#include "support/matmul_kernel_cases.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

using namespace sdlora_test;

namespace {

/// Launches nothing.
struct CountedBlocks {
  std::int64_t blocks = 0;
  template <class Kernel>
  void run(std::int64_t count, std::size_t, const sdlora::detail::MatmulArguments&) {
    blocks += count;
  }
};

}  // namespace

TEST_CASE("matmul kernels in the emulator: the host's products") {
  EmulatedDevice device(5);
  check_matmul_kernels(device, {{1, 1, 7}, {5, 3, 16}, {64, 64, 17}, {65, 2, 33}, {3, 67, 5}, {131, 71, 13}});
}

TEST_CASE("matmul kernels: a block for each tile, large tiles where they are enough") {
  using namespace sdlora;
  using Small = detail::MatmulKernel<false, true, Write::Add, 1>;
  CHECK(Small::blocks(1, 1) == 1);
  CHECK(Small::blocks(64, 65) == 2);
  CHECK(Small::blocks(129, 64) == 3);
  CHECK(detail::MatmulKernel<false, true, Write::Add, 2>::blocks(1 << 20, 50280) == 8192 * 393);

  CountedBlocks launcher;
  const auto blocks_for = [&](std::size_t m, std::size_t n, std::size_t k) {
    launcher.blocks = 0;
    using Operand = MatrixView<const float>;
    detail::run_matmul<false, true>(launcher, {nullptr, m, n}, Operand(nullptr, m, k), Operand(nullptr, n, k),
                                    Write::Add, 1.0F);
    return launcher.blocks;
  };
  CHECK(blocks_for(2047, 1024, 8) == 16 * 8);
  CHECK(blocks_for(1920, 1024, 8) == 30 * 16);
  CHECK(blocks_for(3, 0, 8) == 0);
  CHECK(blocks_for(3, 4, 0) == 0);
}
