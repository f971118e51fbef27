#pragma once

#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"
#include "detail/selective_backward_task.hpp"
#include "detail/selective_forward.hpp"
#include "selective_scan_arguments.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// How many values `selective_scan_forward` saves for the backward pass: one (E, N) state per chunk of
/// 24 rows of each sequence, E rounded up to a multiple of 16.
inline std::size_t selective_scan_states_size(Sequences sequences, std::size_t E, std::size_t N) {
  std::size_t chunks = 0;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    chunks += detail::ceil_div(sequences.length(s), detail::scan_chunk);
  }
  return chunks * detail::ceil_div(E, 16) * 16 * N;
}

/// The fused selective scan on the CPU: softplus, discretisation, recurrence, skip and gate in one pass
/// over the inputs. Writes `out` (M, E), and where they are not null `final_state` (S, E, N), the states
/// behind the last row of each sequence, and `chunk_states` (selective_scan_states_size values), which
/// the backward pass starts its recomputation from. N is the number of states, or `dyn`.
/// Throws ShapeError where extents do not fit. Results do not depend on the number of threads.
template <std::size_t N, class T>
void selective_scan_forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                            std::type_identity_t<T>* final_state, std::type_identity_t<T>* chunk_states,
                            Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_scan_matrix("out", out, in.sequences.rows(), in.channels(), detail::scan_row_rule);
  const Workspace::Scope scope(workspace);
  const auto plan = detail::ScanPlan::make(in, workspace);
  const detail::ScanParameters<T> parameters(in, plan.lines, workspace);
  detail::ScanScratch<T> scratch(plan.tasks(), detail::forward_scratch_size<T>(in.states()), workspace);
  const std::size_t work = (in.sequences.rows() + in.sequences.count()) * in.channels() * in.states();
  detail::run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
    typename detail::ScanScratch<T>::Slot slot(scratch);
    detail::forward_task<N, true>(in, out, final_state, chunk_states, parameters, plan, task, slot);
  });
}

/// The gradients of the fused selective scan that `Wanted` asks for, given those of its output, `d_out`
/// (M, E), and of its final states, `d_final_state` (S, E, N) or null for zero. `in` and `chunk_states`
/// are those of the forward pass. Where `Wanted` has no gradient that depends on the states (none but
/// u, B, D and the initial state), `chunk_states` may be null.
/// Throws ShapeError where extents do not fit. Results do not depend on the number of threads.
template <std::size_t N, SelectiveScanGradients Wanted, class T>
void selective_scan_backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* chunk_states,
                             std::type_identity_t<MatrixView<const T>> d_out,
                             const std::type_identity_t<T>* d_final_state,
                             const SelectiveScanGradientOutputs<T>& out, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, out);
  constexpr detail::BackwardWork wanted_work{Wanted};
  const std::size_t rows = in.sequences.rows(), states = in.states();
  if (wanted_work.states() && chunk_states == nullptr && rows * in.channels() * states > 0) {
    throw ShapeError(
        "selective_scan: the gradients asked for depend on the states; pass the chunk states that the "
        "forward pass saved");
  }
  if constexpr (wanted_work.any()) {
    using Task = detail::BackwardTask<N, Wanted, T>;
    const Workspace::Scope scope(workspace);
    const auto plan = detail::ScanPlan::make(in, workspace);
    const detail::ScanParameters<T> parameters(in, plan.lines, workspace);
    const detail::BackwardPartials<T> partials(Wanted, plan, rows, states, out.initial_stride == 0,
                                               workspace);
    detail::ScanScratch<T> scratch(plan.tasks(), Task::scratch_size(states), workspace);
    const std::size_t work = 2 * (rows + in.sequences.count()) * in.channels() * states;
    detail::run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
      typename detail::ScanScratch<T>::Slot slot(scratch);
      Task(in, chunk_states, d_out, d_final_state, out, parameters, plan, partials, task, slot).run();
    });
    // The sums over groups, a block of rows a task, and over parts, a line a task.
    constexpr std::size_t block = 64;
    constexpr bool sums_rows = Wanted.B || Wanted.C;
    const std::size_t blocks = sums_rows ? detail::ceil_div(rows, block) : 0;
    const std::size_t values = detail::scan_line<T> * plan.lines * plan.parts * states;
    detail::run_scan_tasks(plan.lines + blocks, sums_rows ? work : values, [&](std::size_t i) {
      if (i < plan.lines) {
        detail::reduce_parts<Wanted>(in, out, partials, plan, i);
        return;
      }
      const std::size_t begin = (i - plan.lines) * block, end = std::min(rows, begin + block);
      if constexpr (Wanted.B) detail::reduce_groups<T>(out.B, partials.B, plan.groups, begin, end);
      if constexpr (Wanted.C) detail::reduce_groups<T>(out.C, partials.C, plan.groups, begin, end);
    });
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
