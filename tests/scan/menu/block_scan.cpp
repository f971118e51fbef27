#include <sdlora/scan/menu/block_scan.hpp>

#include "support/scan_device_cases.hpp"

#include <doctest/doctest.h>

#include <sdlora/tensor/emulated.hpp>

using namespace sdlora;
using namespace sdlora_test;

using Raking = BlockScan<BlockScanAlgorithm::Raking>;
using RakingMemoize = BlockScan<BlockScanAlgorithm::RakingMemoize>;
using WarpScans = BlockScan<BlockScanAlgorithm::WarpScans>;

static_assert(KernelScanPolicy<BlockScan<>, Emulated> && !KernelScanPolicy<BlockScan<>, Cpu>);
static_assert(!ScanPolicy<BlockScan<>>);

TEST_CASE_TEMPLATE("BlockScan: as the sequential scan, in the emulator", Policy, Raking, RakingMemoize,
                   WarpScans) {
  check_device_scan<Emulated, float>(Policy{});
}

TEST_CASE("BlockScan: double, too, and more than a tile") {
  check_device_scan<Emulated, double>(BlockScan<>{});
  check_device_scan<Emulated, float>(BlockScan<>{}, {0, 1030, 1031}, 2);
}
