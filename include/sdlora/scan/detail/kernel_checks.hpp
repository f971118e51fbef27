#pragma once

#include "../../error.hpp"
#include "../selective_scan_kernels.hpp"
#include "matrix_check.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

// What a call of the kernels is refused for: nothing may reach a device that it would read or write outside
// of what the caller named.

namespace sdlora::detail {

/// Throws ShapeError unless the matrix is there, (rows, cols); without rows nothing is read.
template <class T>
void check_kernel_matrix(const char* name, const MatrixView<T>& matrix, std::int64_t rows, int cols) {
  if (rows == 0) return;
  check_matrix("selective scan kernels", name, matrix, static_cast<std::size_t>(rows),
               static_cast<std::size_t>(cols), "as the plan has it");
}

/// Throws ArgumentError where a pointer is null.
inline void check_kernel_pointer(const char* name, const void* pointer) {
  if (pointer == nullptr) {
    throw ArgumentError(std::string("selective scan kernels: ") + name +
                        " is null; it must point into device memory");
  }
}

/// Throws ArgumentError unless kept states lie where they can be moved in the vectors of their layout.
inline void check_checkpoints(const KernelScanPlan& plan, const float* checkpoints) {
  const CheckpointLayout layout(plan.shape.channels, plan.shape.states);
  const auto bytes = static_cast<std::size_t>(layout.width) * sizeof(float);
  if (reinterpret_cast<std::uintptr_t>(checkpoints) % bytes != 0) {
    throw ArgumentError("selective scan kernels: checkpoints must be aligned to " + std::to_string(bytes) +
                        " bytes; give them an allocation of their own, or round their place up");
  }
}

template <class IO>
void check_kernel_inputs(const KernelScanPlan& plan, const KernelScanInputs<IO>& x) {
  const KernelScanShape& shape = plan.shape;
  check_kernel_matrix("u", x.u, shape.rows, shape.channels);
  check_kernel_matrix("dt", x.dt, shape.rows, shape.channels);
  if (x.z) check_kernel_matrix("z", x.z, shape.rows, shape.channels);
  check_kernel_matrix("B", x.B, shape.rows, shape.states);
  check_kernel_matrix("C", x.C, shape.rows, shape.states);
  check_kernel_pointer("A", x.A);
  check_kernel_pointer("offsets", x.offsets);
}

inline void check_kernel_workspace(const float* workspace, std::size_t floats) {
  if (floats > 0) check_kernel_pointer("the workspace", workspace);
}

template <class IO>
void check_scan_forward(const KernelScanPlan& plan, const KernelScanInputs<IO>& x,
                        const KernelScanOutputs<IO>& y, const float* workspace) {
  check_kernel_inputs(plan, x);
  check_kernel_matrix("out", y.out, plan.shape.rows, plan.shape.channels);
  check_checkpoints(plan, y.checkpoints);
  check_kernel_workspace(workspace, plan.forward_workspace_floats());
}

template <unsigned Mask, class IO>
void check_scan_backward(const KernelScanPlan& plan, const KernelScanInputs<IO>& x, const float* checkpoints,
                         const MatrixView<const IO>& d_out, const KernelScanGradients<IO>& gradients,
                         const float* workspace) {
  using Bit = KernelScanGradient;
  const KernelScanShape& shape = plan.shape;
  check_kernel_inputs(plan, x);
  check_kernel_matrix("d_out", d_out, shape.rows, shape.channels);
  if (plan.checkpoint_floats() > 0) check_kernel_pointer("checkpoints", checkpoints);
  check_checkpoints(plan, checkpoints);
  if constexpr ((Mask & Bit::u) != 0) check_kernel_matrix("d_u", gradients.d_u, shape.rows, shape.channels);
  if constexpr ((Mask & Bit::dt) != 0)
    check_kernel_matrix("d_dt", gradients.d_dt, shape.rows, shape.channels);
  if constexpr ((Mask & Bit::z) != 0) {
    if (!x.z) {
      throw ArgumentError(
          "selective scan kernels: the mask asks for z's gradient, but there is no z; leave it out of the "
          "mask");
    }
    check_kernel_matrix("d_z", gradients.d_z, shape.rows, shape.channels);
  }
  if constexpr ((Mask & Bit::B) != 0) check_kernel_matrix("d_B", gradients.d_B, shape.rows, shape.states);
  if constexpr ((Mask & Bit::C) != 0) check_kernel_matrix("d_C", gradients.d_C, shape.rows, shape.states);
  if constexpr ((Mask & Bit::A_selected) != 0) {
    if (gradients.selected_count < 0 || gradients.selected_count > shape.channels) {
      throw ArgumentError("selective scan kernels: expected at most " + std::to_string(shape.channels) +
                          " selected channels, found " + std::to_string(gradients.selected_count));
    }
    if (gradients.selected_count > 0) check_kernel_pointer("selected", gradients.selected);
  }
  const bool wants_A =
      (Mask & Bit::A) != 0 || ((Mask & Bit::A_selected) != 0 && gradients.selected_count > 0);
  if (wants_A) check_kernel_pointer("d_A", gradients.d_A);
  if constexpr ((Mask & Bit::D) != 0) check_kernel_pointer("d_D", gradients.d_D);
  if constexpr ((Mask & Bit::dt_bias) != 0) check_kernel_pointer("d_dt_bias", gradients.d_dt_bias);
  if constexpr ((Mask & Bit::initial) != 0) check_kernel_pointer("d_initial", gradients.d_initial);
  check_kernel_workspace(workspace, plan.backward_workspace_floats(Mask, gradients.selected_count));
}

}  // namespace sdlora::detail
