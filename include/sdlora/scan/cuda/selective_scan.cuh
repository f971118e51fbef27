#pragma once

#include "../../tensor/cuda/device_matrix.cuh"
#include "../selective/detail/kernels/runs.hpp"
#include "../selective/kernel_arguments.hpp"
#include "detail/launch.cuh"

#include <cuda_runtime.h>

namespace sdlora {

/// The fused selective scan on the GPU: softplus, discretisation, recurrence, skip and gate in one
/// kernel (three where the plan splits time). Work L·N for each channel (split: twice that), depth L (or
/// segments); stability as sequential. Source: Gu and Dao, "Mamba", 2023, arXiv 2312.00752, section 3.3.2.
///
/// All pointers are device memory; `workspace` holds plan.forward_workspace_floats() floats. Asynchronous on
/// `stream`; allocates nothing and waits for nothing, so a CUDA graph can capture it.
///
/// `States` fixes N at compile time; 0 takes any N up to 256 and compiles nine kernels for it.
/// Throws ShapeError where a matrix is not as the plan has it, ArgumentError where a pointer that is needed
/// is null or badly aligned, Error where the launch fails.
template <int States = 0, class IO>
void cuda_selective_scan_forward(cudaStream_t stream, const KernelScanPlan& plan,
                                 const KernelScanInputs<IO>& x, const KernelScanOutputs<IO>& y,
                                 float* workspace) {
  detail::ScanLauncher launcher(stream);
  if (x.z) {
    detail::run_scan_forward<IO, States, true>(launcher, plan, x, y, workspace);
  } else {
    detail::run_scan_forward<IO, States, false>(launcher, plan, x, y, workspace);
  }
}

/// The gradients that `Wanted` asks for, overwritten, not added to. `checkpoints` come from a forward with
/// the same plan; `d_final_state` is (S, E, N) or null; `workspace` holds
/// plan.backward_workspace_floats(Wanted, gradients.selected_count) floats. Deterministic: sums over channels
/// and sequences are made from partial sums in a fixed order. A block takes up to 177 KB of shared memory (N
/// above 128, a checkpoint every 128 steps); a device that has less refuses it with an Error. Work, depth,
/// stability and source as the forward, asynchronous and throwing as it.
template <SelectiveScanGradients Wanted = SelectiveScanGradients::all(), int States = 0, class IO>
void cuda_selective_scan_backward(cudaStream_t stream, const KernelScanPlan& plan,
                                  const KernelScanInputs<IO>& x, const float* checkpoints,
                                  MatrixView<const IO> d_out, const float* d_final_state,
                                  const KernelScanGradientOutputs<IO>& gradients, float* workspace) {
  detail::ScanLauncher launcher(stream);
  if (x.z) {
    detail::run_scan_backward<IO, States, true, Wanted>(launcher, plan, x, checkpoints, d_out, d_final_state,
                                                        gradients, workspace);
  } else {
    detail::run_scan_backward<IO, States, false, Wanted>(launcher, plan, x, checkpoints, d_out, d_final_state,
                                                         gradients, workspace);
  }
}

}  // namespace sdlora
