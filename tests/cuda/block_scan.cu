#include <sdlora/scan/cuda/block_scan.cuh>
#include <sdlora/tensor/cuda/evaluate.cuh>
#include <sdlora/tensor/cuda/launch.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/materialized_cases.hpp"
#include "support/scan_device_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

using Raking = BlockScan<BlockScanAlgorithm::Raking>;
using RakingMemoize = BlockScan<BlockScanAlgorithm::RakingMemoize>;
using WarpScans = BlockScan<BlockScanAlgorithm::WarpScans>;

static_assert(KernelScanPolicy<Raking, Cuda> && KernelScanPolicy<CudaThreadPerChannel, Cuda>);

TEST_CASE_TEMPLATE("BlockScan: as the sequential scan, by CUB", Policy, Raking, RakingMemoize, WarpScans) {
  if (skip_without_device(has_cuda_device())) return;
  check_device_scan<Cuda, float>(Policy{});
  check_device_scan<Cuda, float>(Policy{}, {0, 1030, 1031}, 2);
}

TEST_CASE("BlockScan: double, too, and every other algorithm for the GPU") {
  if (skip_without_device(has_cuda_device())) return;
  check_device_scan<Cuda, double>(BlockScan<>{});
  check_device_scan<Cuda, float>(CudaThreadPerChannel{});
  check_device_scan<Cuda, float>(CudaDeviceScan{});
}

TEST_CASE("Materialized: BlockScan, and other algorithms, in the memory of the GPU") {
  if (skip_without_device(has_cuda_device())) return;
  check_materialized_on_device<Cuda, BlockScan<>>();
  check_materialized_on_device<Cuda, Raking>();
  check_materialized_on_device<Cuda, CudaThreadPerChannel>();
}
