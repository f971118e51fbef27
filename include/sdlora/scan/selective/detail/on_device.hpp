#pragma once

#include "../../../tensor/device.hpp"
#include "../../../tensor/extents.hpp"
#include "../../../tensor/matrix_view.hpp"
#include "../../../tensor/sequences.hpp"
#include "../../../tensor/workspace.hpp"
#include "../arguments.hpp"
#include "kernels/runs.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

// The fused selective scan on a device that runs kernels: from a call's arguments to a plan and its kernels.

namespace sdlora::detail {

/// Launches the kernels of a scan on a device, as its `Launcher` does.
template <class Device>
class ScanLauncher : public Launcher<Device> {
 public:
  using Launcher<Device>::Launcher;
};
/// scan/cuda/detail/launch.cuh has it.
template <>
class ScanLauncher<Cuda>;

inline KernelScanPlan scan_plan(const Sequences& sequences, std::size_t channels, std::size_t states) {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<int>::max());
  return KernelScanPlan({.rows = static_cast<std::int64_t>(sequences.rows()),
                         .sequences = static_cast<std::int64_t>(sequences.count()),
                         .longest = static_cast<std::int64_t>(sequences.longest()),
                         .channels = static_cast<int>(std::min(channels, most)),
                         .states = static_cast<int>(std::min(states, most))});
}

template <class T, class Device>
KernelInputs<T> kernel_inputs(const SelectiveScanInputs<T, Device>& in) {
  static_assert(sizeof(std::size_t) == sizeof(Position));
  KernelInputs<T> x;
  x.u = in.u.bare();
  x.dt = in.dt.bare();
  x.z = in.z.bare();
  x.B = in.B.bare();
  x.C = in.C.bare();
  x.A = in.A.data;
  x.a_stride = static_cast<Position>(in.A.stride);
  x.D = in.D.data;
  x.dt_bias = in.dt_bias.data;
  x.initial_state = in.initial_state.data;
  x.initial_stride = static_cast<Position>(in.initial_state.stride);
  x.offsets = reinterpret_cast<const Position*>(in.sequences.offsets.data);
  return x;
}

/// Calls f(gate) with whether `in` has one, as a constant. Where it must have one, it may be absent only
/// without rows.
template <bool Must, class T, class Device, class F>
void with_gate(const SelectiveScanInputs<T, Device>& in, const F& f) {
  if constexpr (!Must) {
    if (!in.z) {
      f(std::false_type{});
      return;
    }
  }
  f(std::true_type{});
}

template <std::size_t N>
inline constexpr int fixed_states = N == dyn ? 0 : static_cast<int>(N);

template <std::size_t N, class T, class Device>
void kernel_scan_forward(const SelectiveScanInputs<T, Device>& in, const MatrixView<T, Device>& out,
                         const MatrixView<ScanState<T>, Device>& final_state, ScanState<T>* checkpoints,
                         WorkspaceOn<Device>& workspace) {
  const KernelScanPlan plan = scan_plan(in.sequences.on_host(), in.channels(), in.states());
  const typename WorkspaceOn<Device>::Scope scope(workspace);
  float* const scratch = workspace.template matrix<float>(1, plan.forward_workspace_floats()).data;
  const KernelOutputs<T> outputs{out.bare(), final_state.data, checkpoints,
                                 static_cast<Position>(final_state.stride)};
  ScanLauncher<Device> launcher("selective_scan_forward");
  with_gate<false>(in, [&](auto gate) {
    run_scan_forward<T, fixed_states<N>, decltype(gate)::value>(launcher, plan, kernel_inputs(in), outputs,
                                                                scratch);
  });
}

template <std::size_t N, SelectiveScanGradients Wanted, class T, class Device>
void kernel_scan_backward(const SelectiveScanInputs<T, Device>& in, const ScanState<T>* checkpoints,
                          const MatrixView<const T, Device>& d_out,
                          const MatrixView<const ScanState<T>, Device>& d_final_state,
                          const SelectiveScanGradientOutputs<T, Device>& gradients,
                          WorkspaceOn<Device>& workspace) {
  const KernelScanPlan plan = scan_plan(in.sequences.on_host(), in.channels(), in.states());
  const typename WorkspaceOn<Device>::Scope scope(workspace);
  KernelGradients<T> to;
  to.u = gradients.u.bare();
  to.dt = gradients.dt.bare();
  to.z = gradients.z.bare();
  to.B = gradients.B.bare();
  to.C = gradients.C.bare();
  to.A = gradients.A.data;
  to.a_stride = static_cast<Position>(gradients.A.stride);
  to.D = gradients.D.data;
  to.dt_bias = gradients.dt_bias.data;
  to.initial_state = gradients.initial_state.data;
  to.initial_stride = static_cast<Position>(gradients.initial_state.stride);
  if constexpr (Wanted.A == AGradient::SelectedChannels) {
    to.selected = reinterpret_cast<const Position*>(workspace.placed(gradients.channels).data);
    to.selected_count = static_cast<int>(gradients.channels.size());
  }
  const std::size_t floats =
      plan.backward_workspace_floats(Wanted, to.selected_count, to.initial_stride == 0);
  float* const scratch = workspace.template matrix<float>(1, floats).data;
  ScanLauncher<Device> launcher("selective_scan_backward");
  with_gate<Wanted.z>(in, [&](auto gate) {
    run_scan_backward<T, fixed_states<N>, decltype(gate)::value, Wanted>(
        launcher, plan, kernel_inputs(in), checkpoints, d_out.bare(), d_final_state.bare(), to, scratch);
  });
}

}  // namespace sdlora::detail
