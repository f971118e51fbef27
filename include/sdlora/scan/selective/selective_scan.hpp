#pragma once

#include "../../tensor/extents.hpp"
#include "../../tensor/simd.hpp"
#include "../../tensor/workspace.hpp"
#include "arguments.hpp"
#include "detail/backward_task.hpp"
#include "detail/forward.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// How many values `selective_scan_forward` saves for the backward pass: one (E, N) state per chunk of
/// 24 rows of each sequence, E rounded up to a multiple of 16.
inline std::size_t selective_scan_checkpoint_size(Sequences sequences, std::size_t E, std::size_t N) {
  std::size_t chunks = 0;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    chunks += detail::ceil_div(sequences.length(s), detail::scan_chunk);
  }
  return chunks * detail::round_up(E, 16) * N;
}

/// The fused selective scan on the CPU: softplus, discretisation, recurrence, skip and gate in one pass
/// over the inputs. Writes `out` (M, E), and where they are not null `final_state` (S, E, N), the states
/// behind the last row of each sequence, and `checkpoints` (selective_scan_checkpoint_size values), which
/// the backward pass starts its recomputation from. N is the number of states, or `dyn`.
/// Work L·N and depth L per channel of a sequence of L rows. Stability: that of the sequential scan.
/// Inputs may share memory with each other, but no output with an input or with another output.
/// Throws ShapeError where extents do not fit and ArgumentError where memory is shared, nothing written.
/// Results do not depend on the number of threads. Source: Gu and Dao, "Mamba", 2023, algorithm 2 and §3.3.2
/// (fused, states recomputed in the backward pass).
template <std::size_t N, class T>
void selective_scan_forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                            std::type_identity_t<T>* final_state, std::type_identity_t<T>* checkpoints,
                            Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::matrix_checks(in).check_out(in, out);
  const Workspace::Scope scope(workspace);
  const auto plan = detail::ScanPlan::make(in, workspace);
  const detail::ScanParameters<T> parameters(in, plan.lines, workspace);
  using Memory = detail::ForwardScratch<T>;
  detail::ScanScratch<T> slots(plan.tasks(), Memory::size(in.states()), workspace);
  const std::size_t work = (in.sequences.rows() + in.sequences.count()) * in.channels() * in.states();
  detail::run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
    typename detail::ScanScratch<T>::Slot slot(slots);
    const Memory scratch(slot, in.states());
    const std::size_t group = task % plan.groups, part = task / plan.groups;
    for (std::size_t s = plan.part_begin[part]; s < plan.part_begin[part + 1]; ++s) {
      detail::forward_sequence<N, true>(in, out, final_state, checkpoints, parameters, plan, s, group,
                                        scratch);
    }
  });
}

/// The gradients of the fused selective scan that `Wanted` asks for, given those of its output, `d_out`
/// (M, E), and of its final states, `d_final_state` (S, E, N) or null for zero. `in` and `checkpoints`
/// are those of the forward pass. Where `Wanted` has no gradient that depends on the states (none but
/// u, B, D and the initial state), `checkpoints` may be null.
/// Work 2·L·N (the states of a chunk again, then their gradients) and depth 2·L per channel of a sequence of
/// L rows. Stability: that of the sequential gradients. Memory is shared as in the forward pass: no output's.
/// Throws ShapeError where extents do not fit, nothing written. Results do not depend on the number of
/// threads. Source: as the forward pass; the gradients are the chain rule through its definition.
template <std::size_t N, SelectiveScanGradients Wanted, class T>
void selective_scan_backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* checkpoints,
                             std::type_identity_t<MatrixView<const T>> d_out,
                             const std::type_identity_t<T>* d_final_state,
                             const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
  detail::check_checkpoints<Wanted>(in, checkpoints);
  if constexpr (detail::BackwardWork(Wanted).any()) {
    using Task = detail::BackwardTask<N, Wanted, T>;
    const Workspace::Scope scope(workspace);
    const auto plan = detail::ScanPlan::make(in, workspace);
    const detail::ScanParameters<T> parameters(in, plan.lines, workspace);
    const detail::BackwardPartials<T> partials(Wanted, plan, in.sequences.rows(), in.states(),
                                               gradients.initial_stride == 0, workspace);
    detail::ScanScratch<T> slots(plan.tasks(), Task::scratch_size(in.states()), workspace);
    detail::run_scan_tasks(plan.tasks(), detail::backward_work(in), [&](std::size_t task) {
      typename detail::ScanScratch<T>::Slot slot(slots);
      Task(in, checkpoints, d_out, d_final_state, gradients, parameters, plan, partials, task, slot).run();
    });
    detail::reduce_partials<Wanted>(in, gradients, partials, plan);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
