#pragma once

#include "../../tensor/cuda/stream.cuh"
#include "../../tensor/device.hpp"
#include "../menu/block_scan.hpp"
#include "policies.cuh"

#include <cstddef>
#include <cub/block/block_scan.cuh>

namespace sdlora::detail {

/// Every algorithm for the GPU, on the thread's current stream.
template <CudaScanPolicy Policy>
struct KernelScan<Policy, Cuda> {
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    return Policy::workspace_bytes(x);
  }
  template <ScanProblem Problem>
  static void run(const Problem& x, void* workspace, std::size_t bytes) {
    Policy::run(CudaStream::current().get(), x, workspace, bytes);
    check_cuda(cudaGetLastError(), Policy::name.data());
  }
};

constexpr cub::BlockScanAlgorithm cub_algorithm(BlockScanAlgorithm algorithm) {
  switch (algorithm) {
    case BlockScanAlgorithm::Raking:
      return cub::BLOCK_SCAN_RAKING;
    case BlockScanAlgorithm::RakingMemoize:
      return cub::BLOCK_SCAN_RAKING_MEMOIZE;
    default:
      return cub::BLOCK_SCAN_WARP_SCANS;
  }
}

/// BlockScan is cub::BlockScan there.
template <BlockScanAlgorithm Algorithm>
struct KernelScan<BlockScan<Algorithm>, Cuda> : KernelScan<CudaBlockScan<cub_algorithm(Algorithm)>, Cuda> {};

}  // namespace sdlora::detail
