#pragma once

#include "../../../../error.hpp"
#include "../../../detail/matrix_checks.hpp"
#include "../backward_work.hpp"
#include "arguments.hpp"
#include "plan.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

// What a call of the kernels is refused for: nothing may reach a device that it would read or write outside
// of what the caller named.

namespace sdlora::detail {

inline MatrixChecks matrix_checks(const KernelScanPlan& plan) {
  return {"selective scan kernels",
          static_cast<std::size_t>(plan.shape.rows),
          static_cast<std::size_t>(plan.shape.channels),
          static_cast<std::size_t>(plan.shape.states),
          "one row per row of the plan",
          "one column per channel",
          "one column per state"};
}

/// Throws ArgumentError where a pointer is null.
inline void check_kernel_pointer(const char* name, const void* pointer) {
  if (pointer == nullptr) {
    throw ArgumentError(std::string("selective scan kernels: ") + name +
                        " is null; it must point into device memory");
  }
}

/// Throws ArgumentError unless kept states lie where they can be moved in the vectors of their layout.
inline void check_kernel_checkpoints(const KernelScanPlan& plan, const float* checkpoints) {
  const CheckpointLayout layout(plan.shape.channels, plan.shape.states);
  const auto bytes = static_cast<std::size_t>(layout.width) * sizeof(float);
  if (reinterpret_cast<std::uintptr_t>(checkpoints) % bytes != 0) {
    throw ArgumentError("selective scan kernels: checkpoints must be aligned to " + std::to_string(bytes) +
                        " bytes; give them an allocation of their own, or round their place up");
  }
}

template <class IO>
void check_kernel_inputs(const KernelScanPlan& plan, const KernelInputs<IO>& x) {
  matrix_checks(plan).check_inputs(x);
  check_kernel_pointer("A", x.A);
  if (plan.shape.sequences > 0) check_kernel_pointer("offsets", x.offsets);
}

inline void check_kernel_workspace(const float* workspace, std::size_t floats) {
  if (floats > 0) check_kernel_pointer("the workspace", workspace);
}

template <class IO>
void check_scan_forward(const KernelScanPlan& plan, const KernelInputs<IO>& x, const KernelOutputs<IO>& y,
                        const float* workspace) {
  check_kernel_inputs(plan, x);
  matrix_checks(plan).check_out(x, y.out);
  check_kernel_checkpoints(plan, y.checkpoints);
  check_kernel_workspace(workspace, plan.forward_workspace_floats());
}

template <SelectiveScanGradients Wanted, class IO>
void check_scan_backward(const KernelScanPlan& plan, const KernelInputs<IO>& x, const float* checkpoints,
                         const MatrixView<const IO>& d_out, const KernelGradients<IO>& gradients,
                         const float* workspace) {
  check_kernel_inputs(plan, x);
  if (BackwardWork(Wanted).states() && plan.checkpoint_floats() > 0) {
    check_kernel_pointer("checkpoints", checkpoints);
  }
  check_kernel_checkpoints(plan, checkpoints);
  matrix_checks(plan).check_gradients(x, d_out, Wanted, gradients);
  const int channels = plan.shape.channels, selected = gradients.selected_count;
  if constexpr (Wanted.A == AGradient::SelectedChannels) {
    if (selected < 0 || selected > channels) {
      throw ArgumentError("selective scan kernels: expected at most " + std::to_string(channels) +
                          " selected channels, found " + std::to_string(selected));
    }
    if (selected > 0) {
      check_kernel_pointer("selected", gradients.selected);
      check_kernel_pointer("the gradient of A", gradients.A);
    }
  }
  if constexpr (Wanted.A == AGradient::All) check_kernel_pointer("the gradient of A", gradients.A);
  if constexpr (Wanted.D) check_kernel_pointer("the gradient of D", gradients.D);
  if constexpr (Wanted.dt_bias) check_kernel_pointer("the gradient of dt_bias", gradients.dt_bias);
  if (Wanted.initial_state && plan.shape.sequences > 0) {
    check_kernel_pointer("the gradient of the initial state", gradients.initial_state);
  }
  check_kernel_workspace(workspace,
                         plan.backward_workspace_floats(Wanted, selected, gradients.initial_stride == 0));
}

}  // namespace sdlora::detail
