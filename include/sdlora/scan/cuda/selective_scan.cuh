#pragma once

#include "../../tensor/cuda/storage.cuh"
#include "../../tensor/tensor_view.hpp"
#include "../selective_scan_kernels.hpp"
#include "detail/launch.cuh"

#include <cuda_runtime.h>

namespace sdlora {

/// A matrix in the GPU's memory as the kernels' arguments hold it (`KernelScanInputs` and its companions).
template <class T, class E>
MatrixView<T> device_matrix(const TensorView<T, E, Cuda>& matrix) {
  static_assert(E::rank() == 2, "sdlora::device_matrix: a matrix has two extents");
  return {matrix.data(), matrix.extent(0), matrix.extent(1)};
}

/// The fused selective scan on the GPU: softplus, discretisation, recurrence, skip and gate in one
/// kernel (three where the plan splits time). All pointers are device memory; `workspace` holds
/// plan.forward_workspace_floats() floats. Asynchronous on `stream`; allocates nothing and waits for
/// nothing, so a CUDA graph can capture it.
///
/// `States` fixes N at compile time; 0 takes any N up to 256 and compiles nine kernels for it.
/// Throws ShapeError where the plan and the call do not fit, Error where the launch fails.
template <int States = 0, class IO>
void cuda_selective_scan_forward(cudaStream_t stream, const KernelScanPlan& plan,
                                 const KernelScanInputs<IO>& x, const KernelScanOutputs<IO>& y,
                                 float* workspace) {
  detail::ScanLauncher launcher(stream);
  if (x.z) {
    detail::run_scan_forward<IO, States, true, true>(launcher, plan, x, y, workspace);
  } else {
    detail::run_scan_forward<IO, States, false, true>(launcher, plan, x, y, workspace);
  }
}

/// The gradients named in `Mask` (bits of KernelScanGradient), overwritten, not added to. `checkpoints`
/// come from a forward with the same plan; `d_final` is (S, E, N) or null; `workspace` holds
/// plan.backward_workspace_floats(Mask) floats. Deterministic: sums over channels and sequences are
/// made from partial sums in a fixed order. Asynchronous as the forward.
template <unsigned Mask = KernelScanGradient::all, int States = 0, class IO>
void cuda_selective_scan_backward(cudaStream_t stream, const KernelScanPlan& plan,
                                  const KernelScanInputs<IO>& x, const float* checkpoints,
                                  MatrixView<const IO> d_out, const float* d_final,
                                  const KernelScanGradients<IO>& gradients, float* workspace) {
  detail::ScanLauncher launcher(stream);
  if (x.z) {
    detail::run_scan_backward<IO, States, true, true, Mask>(launcher, plan, x, checkpoints, d_out, d_final,
                                                            gradients, workspace);
  } else {
    detail::run_scan_backward<IO, States, false, true, Mask & ~KernelScanGradient::z>(
        launcher, plan, x, checkpoints, d_out, d_final, gradients, workspace);
  }
}

}  // namespace sdlora
