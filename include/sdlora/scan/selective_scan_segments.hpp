#pragma once

#include "../error.hpp"
#include "selective_scan.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// Sequences cut into segments of `rows` rows, rounded up to whole chunks, the last one of each shorter; an
/// empty sequence is one.
struct SegmentCut {
  std::span<std::size_t> offsets;  // segments + 1
  std::span<std::size_t> first;    // S + 1: the first segment of each sequence

  SegmentCut(const Sequences& sequences, std::size_t rows, Workspace& workspace) {
    if (rows == 0)
      throw ArgumentError(
          "selective_scan: segments of 0 rows; give them a length, such as L / (threads + 1)");
    // A length beyond all sequences is as good as the largest, and cannot overflow.
    rows = ceil_div(std::min(rows, sequences.rows() + 1), scan_chunk) * scan_chunk;
    const std::size_t S = sequences.count();
    first = workspace.take<std::size_t>(S + 1);
    first[0] = 0;
    for (std::size_t s = 0; s < S; ++s) {
      first[s + 1] = first[s] + std::max<std::size_t>(1, ceil_div(sequences.length(s), rows));
    }
    offsets = workspace.take<std::size_t>(first[S] + 1);
    offsets[0] = 0;
    for (std::size_t s = 0; s < S; ++s) {
      for (std::size_t k = first[s]; k < first[s + 1]; ++k) {
        offsets[k + 1] = std::min(offsets[k] + rows, sequences.first(s) + sequences.length(s));
      }
    }
  }

  std::size_t count() const { return offsets.size() - 1; }
  bool cuts() const { return count() + 1 > first.size(); }

  /// Marks the segments that sequences begin with, or end with: those where nothing of another segment
  /// enters, forward or backward.
  std::span<std::uint8_t> firsts(Workspace& workspace) const { return marks(workspace, 0, 0); }
  std::span<std::uint8_t> lasts(Workspace& workspace) const { return marks(workspace, 1, 1); }

 private:
  std::span<std::uint8_t> marks(Workspace& workspace, std::size_t next, std::size_t back) const {
    const auto result = workspace.take<std::uint8_t>(count());
    std::fill(result.begin(), result.end(), std::uint8_t{0});
    for (std::size_t s = 0; s + 1 < first.size(); ++s) result[first[s + next] - back] = 1;
    return result;
  }
};

/// What the states of one group are multiplied by on their way through a segment, exp(A·ΣΔ), in (E, N);
/// `delta_sums` is (lines, line).
template <class T>
void segment_decay(const SelectiveScanInputs<T>& in, const ScanPlan& plan, std::size_t group,
                   const T* delta_sums, T* decays) {
  constexpr std::size_t P = scan_line<T>;
  const std::size_t N = in.states(), end = std::min(in.channels(), plan.last_line(group) * P);
  for (std::size_t e = plan.first_line(group) * P; e < end; ++e) {
    for (std::size_t n = 0; n < N; ++n) decays[e * N + n] = exp(T(in.A(e, n) * delta_sums[e]));
  }
}

/// Adds to `target` what enters a segment, times its decays. Zero stays zero even where A > 0 has made the
/// decay infinite.
template <class T>
void add_carried(T* target, const T* decays, const T* entering, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (entering[i] != T(0)) target[i] = fma(decays[i], entering[i], target[i]);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// `selective_scan_forward` with time cut as well, into segments of about `segment_rows` rows, which run
/// in parallel. First those that begin a sequence are scanned, and of those between, only what they add to
/// the state; then all others, from the state that really enters them. For sequences of few channels on many
/// threads, with segments of L / (threads + 1) rows; where channels / 16 × sequences keep all threads busy
/// the plain call does half of the work.
/// Results depend on the cut, within rounding, but not on the number of threads. `chunk_states` are
/// laid out as without segments, so either backward pass takes them.
/// Work at most 2·L·N, depth 2·segment + L / segment, per channel of a sequence of L rows. Stability: that of
/// the sequential scan where A ≤ 0, as in every model; A > 0 may overflow here and not there, because states
/// cross a segment by the factor exp(A·ΣΔ). Memory is shared as in the plain call: no output's.
/// Source: reduce-then-scan as Chunked (chunked.hpp), over the recurrence of `selective_scan_forward`.
/// Throws as `selective_scan_forward`, and ArgumentError for segments of no rows.
template <std::size_t N, class T>
void selective_scan_forward_segments(const SelectiveScanInputs<T>& in, std::size_t segment_rows,
                                     std::type_identity_t<MatrixView<T>> out,
                                     std::type_identity_t<T>* final_state,
                                     std::type_identity_t<T>* chunk_states, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  const Workspace::Scope scope(workspace);
  const detail::SegmentCut cut(in.sequences, segment_rows, workspace);
  if (!cut.cuts()) return selective_scan_forward<N>(in, out, final_state, chunk_states, workspace);
  detail::check_scan_matrix("out", out, in.sequences.rows(), in.channels(), detail::scan_row_rule);
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();
  const auto begins = cut.firsts(workspace), ends = cut.lasts(workspace);

  // The states that enter each segment, and those behind it.
  const auto entering = workspace.take<T>(cut.count() * size), behind = workspace.take<T>(cut.count() * size);
  const auto decays = workspace.take<T>(cut.count() * size);
  std::fill(entering.begin(), entering.end(), T(0));
  for (std::size_t s = 0; s < S && in.initial_state; ++s) {
    std::copy_n(in.initial_state + s * in.initial_stride, size, entering.data() + cut.first[s] * size);
  }
  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  segments.initial_state = entering.data();
  segments.initial_stride = size;

  const auto plan = detail::ScanPlan::make(segments, workspace, true);
  const detail::ScanParameters<T> parameters(segments, plan.lines, workspace);
  const std::size_t line_values = plan.lines * detail::scan_line<T>;
  const auto delta_sums = workspace.take<T>(cut.count() * line_values);
  using Memory = detail::ForwardScratch<T>;
  detail::ScanScratch<T> slots(plan.tasks(), Memory::size(in.states()), workspace);
  const auto run = [&](bool first_pass) {
    const std::size_t work = (in.sequences.rows() + cut.count()) * size;
    detail::run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
      const std::size_t k = task / plan.groups, group = task % plan.groups;
      if (first_pass ? ends[k] && !begins[k] : begins[k]) return;
      typename detail::ScanScratch<T>::Slot slot(slots);
      const Memory scratch(slot, in.states());
      if (begins[k] || !first_pass) {
        detail::forward_sequence<N, true>(segments, out, behind.data(), chunk_states, parameters, plan, k,
                                          group, scratch);
      } else {
        T* const sums = delta_sums.data() + k * line_values;
        detail::forward_sequence<N, false>(segments, out, behind.data(), chunk_states, parameters, plan, k,
                                           group, scratch, sums);
        detail::segment_decay(segments, plan, group, sums, decays.data() + k * size);
      }
    });
  };
  run(true);
  for (std::size_t k = 0; k + 1 < cut.count(); ++k) {
    if (ends[k]) continue;
    T* const next = entering.data() + (k + 1) * size;
    std::copy_n(behind.data() + k * size, size, next);
    if (begins[k]) continue;
    detail::add_carried(next, decays.data() + k * size, entering.data() + k * size, size);
  }
  run(false);
  for (std::size_t s = 0; s < S && final_state; ++s) {
    std::copy_n(behind.data() + (cut.first[s + 1] - 1) * size, size, final_state + s * size);
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
                                      const std::type_identity_t<T>* chunk_states,
                                      std::type_identity_t<MatrixView<const T>> d_out,
                                      const std::type_identity_t<T>* d_final_state,
                                      const SelectiveScanGradientOutputs<T>& out, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, out);
  detail::check_chunk_states<Wanted>(in, chunk_states);
  const Workspace::Scope scope(workspace);
  const detail::SegmentCut cut(in.sequences, segment_rows, workspace);
  // Without gradients that run against time, segments have nothing to say to each other.
  if (!cut.cuts() || !detail::BackwardWork(Wanted).reverse()) {
    return selective_scan_backward<N, Wanted>(in, chunk_states, d_out, d_final_state, out, workspace);
  }
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();
  const auto begins = cut.firsts(workspace), ends = cut.lasts(workspace);
  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  segments.initial_state = nullptr;
  segments.initial_stride = size;

  // behind: the gradients of the states behind each segment; before: of those before it.
  const auto behind = workspace.take<T>(cut.count() * size), before = workspace.take<T>(cut.count() * size);
  const auto decays = workspace.take<T>(cut.count() * size);
  std::fill(behind.begin(), behind.end(), T(0));
  for (std::size_t s = 0; s < S && d_final_state; ++s) {
    std::copy_n(d_final_state + s * size, size, behind.data() + (cut.first[s + 1] - 1) * size);
  }
  constexpr SelectiveScanGradients states_only{.initial_state = true};
  constexpr SelectiveScanGradients everything = [] {
    SelectiveScanGradients gradients = Wanted;
    gradients.initial_state = true;
    return gradients;
  }();
  SelectiveScanGradientOutputs<T> to = out;
  to.initial_state = before.data();
  to.initial_stride = size;

  const auto plan = detail::ScanPlan::make(segments, workspace, true);
  const detail::ScanParameters<T> parameters(segments, plan.lines, workspace);
  const std::size_t line_values = plan.lines * detail::scan_line<T>;
  const auto delta_sums = workspace.take<T>(cut.count() * line_values);
  const detail::BackwardPartials<T> partials(everything, plan, in.sequences.rows(), in.states(), false,
                                             workspace);
  const detail::BackwardPartials<T> no_partials(states_only, plan, in.sequences.rows(), in.states(), false,
                                                workspace);
  using Task = detail::BackwardTask<N, everything, T>;
  using StatesTask = detail::BackwardTask<N, states_only, T>;
  detail::ScanScratch<T> slots(plan.tasks(), Task::scratch_size(in.states()), workspace);
  const auto run = [&](bool first_pass) {
    std::fill(before.begin(), before.end(), T(0));
    detail::run_scan_tasks(plan.tasks(), detail::backward_work(segments), [&](std::size_t task) {
      const std::size_t k = task / plan.groups, group = task % plan.groups;
      if (first_pass ? begins[k] && !ends[k] : ends[k]) return;
      typename detail::ScanScratch<T>::Slot slot(slots);
      if (ends[k] || !first_pass) {
        Task(segments, chunk_states, d_out, behind.data(), to, parameters, plan, partials, task, slot).run();
      } else {
        T* const sums = delta_sums.data() + k * line_values;
        StatesTask(segments, nullptr, d_out, behind.data(), to, parameters, plan, no_partials, task, slot,
                   sums)
            .run();
        detail::segment_decay(segments, plan, group, sums, decays.data() + k * size);
      }
    });
  };
  const auto add_initial = [&](bool uncut) {
    if constexpr (Wanted.initial_state) {
      for (std::size_t s = 0; s < S; ++s) {
        const std::size_t k = cut.first[s];
        if (uncut != (ends[k] != 0)) continue;
        T* target = out.initial_state + s * out.initial_stride;
        for (std::size_t i = 0; i < size; ++i) target[i] += before[k * size + i];
      }
    }
  };
  run(true);
  for (std::size_t k = cut.count(); k-- > 0;) {
    if (begins[k]) continue;
    T* const earlier = behind.data() + (k - 1) * size;
    std::copy_n(before.data() + k * size, size, earlier);
    if (ends[k]) continue;
    detail::add_carried(earlier, decays.data() + k * size, behind.data() + k * size, size);
  }
  add_initial(true);
  run(false);
  add_initial(false);
  detail::reduce_partials<Wanted>(segments, to, partials, plan);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
