#pragma once

#include "detail/segments.hpp"
#include "selective_scan.hpp"

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// `selective_scan_forward` with time cut as well, into segments of about `segment_rows` rows, which run
/// in parallel. First those that begin a sequence are scanned, and of those between, only what they add to
/// the state; then all others, from the state that really enters them. For sequences of few channels on many
/// threads, with segments of L / (threads + 1) rows; where channels / 16 × sequences keep all threads busy
/// the plain call does half of the work.
/// Results depend on the cut, within rounding, but not on the number of threads. `checkpoints` are
/// laid out as without segments, so either backward pass takes them.
/// Work at most 2·L·N, depth 2·segment + L / segment, per channel of a sequence of L rows. Stability: that of
/// the sequential scan where A ≤ 0, as in every model; A > 0 may overflow here and not there, because states
/// cross a segment by the factor exp(A·ΣΔ). Memory is shared as in the plain call: no output's.
/// Source: reduce-then-scan as Chunked (chunked.hpp), over the recurrence of `selective_scan_forward`.
/// Throws as `selective_scan_forward`, and ArgumentError for segments of no rows.
template <std::size_t N, class T>
void selective_scan_forward_segments(const SelectiveScanInputs<T>& in, std::size_t segment_rows,
                                     std::type_identity_t<MatrixView<T>> out,
                                     std::type_identity_t<MatrixView<T>> final_state,
                                     std::type_identity_t<T>* checkpoints, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  const Workspace::Scope scope(workspace);
  const detail::SegmentCut cut(in.sequences, segment_rows, workspace);
  if (!cut.cuts()) return selective_scan_forward<N>(in, out, final_state, checkpoints, workspace);
  detail::matrix_checks(in).check_out(in, out);
  detail::check_scan_states("the final state", final_state, in.sequences.count(), in.channels() * in.states(),
                            false);
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();
  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  const detail::SegmentPasses<false, T> passes(segments, cut, workspace);
  segments.initial_state = {passes.entering.data(), cut.count(), size};
  for (std::size_t s = 0; s < S && in.initial_state; ++s) {
    std::copy_n(in.initial_state.row(s), size, passes.values(passes.entering, passes.first_of(s)));
  }

  using Memory = detail::ForwardScratch<T>;
  using Slot = typename detail::ScanScratch<T>::Slot;
  const std::size_t work = (in.sequences.rows() + cut.count()) * size, groups = passes.plan.groups;
  detail::ScanScratch<T> slots(passes.plan.tasks(), Memory::size(in.states()), workspace);
  const MatrixView<T> leaving(passes.leaving.data(), cut.count(), size);
  const auto whole = [&](std::size_t task, std::size_t k, Slot& slot) {
    detail::forward_sequence<N, true>(segments, out, leaving, checkpoints, passes.parameters, passes.plan, k,
                                      task % groups, Memory(slot, in.states()));
  };
  passes.first_pass(work, slots, whole, [&](std::size_t task, std::size_t k, Slot& slot, T* delta_sums) {
    detail::forward_sequence<N, false>(segments, out, leaving, checkpoints, passes.parameters, passes.plan, k,
                                       task % groups, Memory(slot, in.states()), delta_sums);
  });
  passes.link();
  passes.second_pass(work, slots, whole);
  for (std::size_t s = 0; s < S && final_state; ++s) {
    std::copy_n(passes.values(passes.leaving, passes.last_of(s)), size, final_state.row(s));
  }
}

/// `selective_scan_backward` with time cut as by the forward pass above, or otherwise: first the segments
/// that end a sequence, and of those between, what they add to the gradient of the state before them; then
/// all others, with what really comes from behind.
/// Work at most twice that of the plain call, depth 4·segment + L / segment, per channel of a sequence of L
/// rows. Stability, shared memory and source as the forward pass in segments.
/// Throws as the plain call, and ArgumentError for segments of no rows.
template <std::size_t N, SelectiveScanGradients Wanted, class T>
void selective_scan_backward_segments(const SelectiveScanInputs<T>& in, std::size_t segment_rows,
                                      const std::type_identity_t<T>* checkpoints,
                                      std::type_identity_t<MatrixView<const T>> d_out,
                                      std::type_identity_t<MatrixView<const T>> d_final_state,
                                      const SelectiveScanGradientOutputs<T>& gradients,
                                      Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
  detail::check_scan_states("the gradient of the final state", d_final_state, in.sequences.count(),
                            in.channels() * in.states(), false);
  detail::check_checkpoints<Wanted>(in, checkpoints);
  const Workspace::Scope scope(workspace);
  const detail::SegmentCut cut(in.sequences, segment_rows, workspace);
  // Without gradients that run against time, segments have nothing to say to each other.
  if (!cut.cuts() || !detail::BackwardWork(Wanted).g()) {
    return selective_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
  }
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();
  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  segments.initial_state = {};
  const detail::SegmentPasses<true, T> passes(segments, cut, workspace);
  for (std::size_t s = 0; s < S && d_final_state; ++s) {
    std::copy_n(d_final_state.row(s), size, passes.values(passes.entering, passes.first_of(s)));
  }

  constexpr SelectiveScanGradients state_only{.initial_state = true};
  constexpr SelectiveScanGradients with_state = [] {
    SelectiveScanGradients wanted = Wanted;
    wanted.initial_state = true;
    return wanted;
  }();
  SelectiveScanGradientOutputs<T> to = gradients;  // those of the states before segments leave them
  to.initial_state = {passes.leaving.data(), cut.count(), size};
  const std::size_t rows = in.sequences.rows(), states = in.states();
  const detail::BackwardPartials<T> partials(with_state, passes.plan, rows, states, false, workspace);
  const detail::BackwardPartials<T> no_partials(state_only, passes.plan, rows, states, false, workspace);
  const MatrixView<const T> entering(passes.entering.data(), cut.count(), size);
  using Task = detail::BackwardTask<N, with_state, T>;
  using StateTask = detail::BackwardTask<N, state_only, T>;
  using Slot = typename detail::ScanScratch<T>::Slot;
  const std::size_t work = detail::backward_work(segments);
  detail::ScanScratch<T> slots(passes.plan.tasks(), Task::scratch_size(states), workspace);
  const auto whole = [&](std::size_t task, std::size_t, Slot& slot) {
    Task(segments, checkpoints, d_out, entering, to, passes.parameters, passes.plan, partials, task, slot)
        .run();
  };
  passes.first_pass(work, slots, whole, [&](std::size_t task, std::size_t, Slot& slot, T* delta_sums) {
    StateTask(segments, nullptr, d_out, entering, to, passes.parameters, passes.plan, no_partials, task, slot,
              delta_sums)
        .run();
  });
  passes.link();
  passes.second_pass(work, slots, whole);
  if constexpr (Wanted.initial_state) {
    for (std::size_t s = 0; s < S; ++s) {
      const T* const d_initial_state = passes.values(passes.leaving, passes.last_of(s));
      T* const target = gradients.initial_state.row(s);
      for (std::size_t i = 0; i < size; ++i) target[i] += d_initial_state[i];
    }
  }
  detail::reduce_partials<Wanted>(segments, to, partials, passes.plan);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
