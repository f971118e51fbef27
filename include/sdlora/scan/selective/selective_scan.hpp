#pragma once

#include "../../tensor/device.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../../tensor/simd.hpp"
#include "../../tensor/workspace.hpp"
#include "arguments.hpp"
#include "detail/backward_task.hpp"
#include "detail/forward.hpp"
#include "detail/on_device.hpp"
#include "detail/step.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

template <std::size_t N, class T>
void host_scan_forward(const SelectiveScanInputs<T>& in, const MatrixView<T>& out,
                       const MatrixView<T>& final_state, T* checkpoints, Workspace& workspace) {
  if (checkpoints == nullptr && is_scan_step(in)) return scan_steps(in, out, final_state);
  const Workspace::Scope scope(workspace);
  const auto plan = ScanPlan::make(in, workspace);
  const ScanParameters<T> parameters(in, plan.lines, workspace);
  using Memory = ForwardScratch<T>;
  ScanScratch<T> slots(plan.tasks(), Memory::size(in.states()), workspace);
  const std::size_t work = (in.sequences.rows() + in.sequences.count()) * in.channels() * in.states();
  run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
    typename ScanScratch<T>::Slot slot(slots);
    const Memory scratch(slot, in.states());
    const std::size_t group = task % plan.groups, part = task / plan.groups;
    for (std::size_t s = plan.part_begin[part]; s < plan.part_begin[part + 1]; ++s) {
      forward_sequence<N, true>(in, out, final_state, checkpoints, parameters, plan, s, group, scratch);
    }
  });
}

template <std::size_t N, SelectiveScanGradients Wanted, class T>
void host_scan_backward(const SelectiveScanInputs<T>& in, const T* checkpoints,
                        const MatrixView<const T>& d_out, const MatrixView<const T>& d_final_state,
                        const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
  using Task = BackwardTask<N, Wanted, T>;
  const Workspace::Scope scope(workspace);
  const auto plan = ScanPlan::make(in, workspace);
  const ScanParameters<T> parameters(in, plan.lines, workspace);
  const BackwardPartials<T> partials(Wanted, plan, in.sequences.rows(), in.states(),
                                     gradients.initial_state.stride == 0, workspace);
  ScanScratch<T> slots(plan.tasks(), Task::scratch_size(in.states()), workspace);
  run_scan_tasks(plan.tasks(), backward_work(in), [&](std::size_t task) {
    typename ScanScratch<T>::Slot slot(slots);
    Task(in, checkpoints, d_out, d_final_state, gradients, parameters, plan, partials, task, slot).run();
  });
  reduce_partials<Wanted>(in, gradients, partials, plan);
}

/// Calls f with the number of states as a constant where the forward kernel for it is worth having, else with
/// `dyn`. (The backward kernel for any states is as fast as one for 16.)
template <class Function>
void with_compiled_states(std::size_t states, const Function& f) {
  switch (states) {
    case 8:
      return f(std::integral_constant<std::size_t, 8>{});
    case 16:
      return f(std::integral_constant<std::size_t, 16>{});
    case 64:
      return f(std::integral_constant<std::size_t, 64>{});
    default:
      return f(std::integral_constant<std::size_t, dyn>{});
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// How many values `selective_scan_forward` saves for the backward pass. On the `Cpu` one (E, N) state per
/// chunk of 24 rows of each sequence, E rounded up to a multiple of 16; elsewhere one per 16 rows.
template <class Device = Cpu>
std::size_t selective_scan_checkpoint_size(const Sequences& sequences, std::size_t E, std::size_t N) {
  if constexpr (is_host<Device>) {
    std::size_t chunks = 0;
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      chunks += detail::ceil_div(sequences.length(s), detail::scan_chunk);
    }
    return chunks * detail::round_up(E, 16) * N;
  } else {
    return detail::scan_plan(sequences, E, N).checkpoint_floats();
  }
}

/// The fused selective scan: softplus, discretisation, recurrence, skip and gate in one pass over the inputs.
/// Writes `out` (M, E), and where they are there `final_state` (S, E·N), the states behind the last row of
/// each sequence, and `checkpoints` (selective_scan_checkpoint_size values in the device's memory), which
/// the backward pass starts its recomputation from. N is the number of states, or `dyn`: then the call
/// chooses among the kernels for 8, 16, 64 and any states, with the same results. Work L·N and depth L per
/// channel of a sequence of L rows. Stability: that of the sequential scan. Inputs may share memory with each
/// other, but no output with an input or with another output. Throws ShapeError where extents do not fit and
/// ArgumentError where memory is shared, nothing written. On the `Cpu`, results do not depend on the number
/// of threads. A device that runs kernels takes 1 to 256 states and at least one channel, and waits for
/// nothing; it cuts few channels of long sequences into segments of time, for twice the work. Source: Gu and
/// Dao, "Mamba", 2023, algorithm 2 and §3.3.2 (fused, states recomputed in the backward pass).
template <std::size_t N, class T, class Device>
void selective_scan_forward(const SelectiveScanInputs<T, Device>& in,
                            std::type_identity_t<MatrixView<T, Device>> out,
                            std::type_identity_t<MatrixView<ScanState<T>, Device>> final_state,
                            std::type_identity_t<ScanState<T>>* checkpoints, WorkspaceOn<Device>& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::matrix_checks(in).check_out(in, out);
  detail::check_final_states("the final state", in, final_state);
  if constexpr (is_host<Device>) {
    if constexpr (N == dyn) {
      detail::with_compiled_states(in.states(), [&](auto n) {
        detail::host_scan_forward<decltype(n)::value>(in, out, final_state, checkpoints, workspace);
      });
    } else {
      detail::host_scan_forward<N>(in, out, final_state, checkpoints, workspace);
    }
  } else {
    detail::kernel_scan_forward<N>(in, out, final_state, checkpoints, workspace);
  }
}

/// The gradients of the fused selective scan that `Wanted` asks for, given those of its output, `d_out`
/// (M, E), and of its final states, `d_final_state` (S, E·N) or absent for zero. `in` and `checkpoints`
/// are those of the forward pass. Where `Wanted` has no gradient that depends on the states (none but
/// u, B, D and the initial state), `checkpoints` may be null.
/// Work 2·L·N (the states of a chunk again, then their gradients) and depth 2·L per channel of a sequence of
/// L rows. Stability: that of the sequential gradients. Memory is shared as in the forward pass: no output's.
/// Throws ShapeError where extents do not fit, nothing written. Results do not depend on the number of
/// threads, and are the same each time on every device. Source: as the forward pass; the gradients are the
/// chain rule through its definition.
template <std::size_t N, SelectiveScanGradients Wanted, class T, class Device>
void selective_scan_backward(const SelectiveScanInputs<T, Device>& in,
                             const std::type_identity_t<ScanState<T>>* checkpoints,
                             std::type_identity_t<MatrixView<const T, Device>> d_out,
                             std::type_identity_t<MatrixView<const ScanState<T>, Device>> d_final_state,
                             const SelectiveScanGradientOutputs<T, Device>& gradients,
                             WorkspaceOn<Device>& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
  detail::check_final_states("the gradient of the final state", in, d_final_state);
  detail::check_checkpoints<Wanted>(in, checkpoints);
  if constexpr (detail::BackwardWork(Wanted).any()) {
    if constexpr (is_host<Device>) {
      detail::host_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
    } else {
      detail::kernel_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
    }
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
