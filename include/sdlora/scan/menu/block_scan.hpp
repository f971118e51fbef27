#pragma once

#include "../../tensor/device.hpp"
#include "detail/kernels/plain_collectives.hpp"
#include "kernel_scan.hpp"

#include <cstddef>
#include <string_view>

namespace sdlora {

/// How the threads of a block share the work of a tile, as CUB's algorithms of these names do.
enum class BlockScanAlgorithm {
  Raking,         ///< a warp scans what every thread has reduced: for many blocks at once
  RakingMemoize,  ///< the same, and values stay in registers between the two passes
  WarpScans       ///< every warp scans its own values, then all the warps' sums: for few blocks
};

/// A block of 128 threads scans a column, 1024 steps at a time, on every device that runs kernels: on `Cuda`
/// by cub::BlockScan (<sdlora/scan/cuda/block_scan.cuh>), on `Emulated` by plain collectives in its place,
/// whatever the algorithm. It does not run on the `Cpu`.
/// Work 2L, depth L/1024 tiles, each of 8 steps in a thread and, by `Algorithm`, log 32 of a warp and 4
/// warps, or 4 steps of one warp's lanes and log 32. Stability: good. The same bits from run to run;
/// allocates nothing. Source: https://nvidia.github.io/cccl/cub/
template <BlockScanAlgorithm Algorithm = BlockScanAlgorithm::WarpScans>
struct BlockScan {
  static constexpr std::string_view name = Algorithm == BlockScanAlgorithm::Raking ? "block scan, raking"
                                           : Algorithm == BlockScanAlgorithm::RakingMemoize
                                               ? "block scan, raking with memory"
                                               : "block scan, warp scans";
};

namespace detail {

/// By plain collectives, for devices without CUB.
template <class Device>
struct PlainBlockScan {
  template <ScanProblem Problem>
  static std::size_t workspace_bytes(const Problem& x) {
    return static_cast<std::size_t>(x.columns) * block_scan_tile * sizeof(typename Problem::value_type);
  }
  template <ScanProblem Problem>
  static void run(const Problem& x, void* workspace, std::size_t /*bytes*/) {
    Launcher<Device> launcher("block scan");
    launcher.template run<PlainBlockScanKernel<Problem>>(
        x.columns, 0, {x, static_cast<typename Problem::value_type*>(workspace)});
  }
};

template <BlockScanAlgorithm Algorithm>
struct KernelScan<BlockScan<Algorithm>, Emulated> : PlainBlockScan<Emulated> {};

}  // namespace detail
}  // namespace sdlora
