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
      throw ArgumentError("selective_scan: segments of 0 rows; give them a length, such as L / threads");
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
};

/// What a state is multiplied by on its way through each segment, exp(A·ΣΔ): (segments, E, N).
template <class T>
std::span<T> segment_decays(const SelectiveScanInputs<T>& in, const SegmentCut& cut, Workspace& workspace) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>;
  const std::size_t E = in.channels(), N = in.states(), lines = ceil_div(E, P);
  const auto decays = workspace.take<T>(cut.count() * E * N);
  const std::size_t work = in.sequences.rows() * E;
  run_scan_tasks(cut.count() * lines, 4 * work, [&](std::size_t task) {
    const std::size_t segment = task / lines, channel = task % lines * P, count = std::min(P, E - channel);
    alignas(alignment) T sum[P] = {}, bias[P] = {}, row[P] = {};
    if (in.dt_bias) std::copy_n(in.dt_bias + channel, count, bias);
    for (std::size_t t = cut.offsets[segment]; t < cut.offsets[segment + 1]; ++t) {
      std::copy_n(in.dt.row(t) + channel, count, row);
      for (std::size_t v = 0; v < P; v += simd_width<T>) {
        const V delta = softplus_generic(V(V::load_aligned(row + v) + V::load_aligned(bias + v)));
        V(V::load_aligned(sum + v) + delta).store_aligned(sum + v);
      }
    }
    for (std::size_t j = 0; j < count; ++j) {
      T* decay = decays.data() + (segment * E + channel + j) * N;
      for (std::size_t n = 0; n < N; ++n) decay[n] = exp(T(in.A(channel + j, n) * sum[j]));
    }
  });
  return decays;
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// `selective_scan_forward` with time cut as well, into segments of about `segment_rows` rows:
/// every segment but the last is scanned twice, first for what it adds to the state, then from the
/// state that really enters it, and segments run in parallel. For sequences of few channels on many
/// threads; where channels / 16 × sequences keep all threads busy the plain call does half of the work.
/// Results depend on the cut, within rounding, but not on the number of threads. `chunk_states` are
/// laid out as without segments, so either backward pass takes them.
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
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();

  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  segments.initial_state = nullptr;
  const auto states = workspace.take<T>(cut.count() * size);  // behind each segment
  const auto wanted = workspace.take<std::uint8_t>(cut.count());
  std::fill(wanted.begin(), wanted.end(), std::uint8_t{1});
  for (std::size_t s = 0; s < S; ++s) wanted[cut.first[s + 1] - 1] = 0;
  {
    const Workspace::Scope pass(workspace);
    const auto plan = detail::ScanPlan::make(segments, workspace);
    const detail::ScanParameters<T> parameters(segments, plan.lines, workspace);
    detail::ScanScratch<T> scratch(plan.tasks(), detail::forward_scratch_size<T>(in.states()), workspace);
    detail::run_scan_tasks(plan.tasks(), in.sequences.rows() * size, [&](std::size_t task) {
      typename detail::ScanScratch<T>::Slot slot(scratch);
      detail::forward_task<N, false>(segments, MatrixView<T>{}, states.data(), static_cast<T*>(nullptr),
                                     parameters, plan, task, slot, wanted.data());
    });
  }
  const auto decays = detail::segment_decays(in, cut, workspace);
  const auto entering = workspace.take<T>(cut.count() * size);
  for (std::size_t s = 0; s < S; ++s) {
    T* state = entering.data() + cut.first[s] * size;
    if (in.initial_state) {
      std::copy_n(in.initial_state + s * in.initial_stride, size, state);
    } else {
      std::fill_n(state, size, T(0));
    }
    for (std::size_t k = cut.first[s]; k + 1 < cut.first[s + 1]; ++k, state += size) {
      for (std::size_t i = 0; i < size; ++i) {
        state[size + i] = fma(decays[k * size + i], state[i], states[k * size + i]);
      }
    }
  }
  segments.initial_state = entering.data();
  segments.initial_stride = size;
  selective_scan_forward<N>(segments, out, final_state ? states.data() : nullptr, chunk_states, workspace);
  if (final_state) {
    for (std::size_t s = 0; s < S; ++s) {
      std::copy_n(states.data() + (cut.first[s + 1] - 1) * size, size, final_state + s * size);
    }
  }
}

/// `selective_scan_backward` with time cut as by the forward pass above, or otherwise: a first pass in
/// parallel finds what each segment adds to the gradient of the state before it, a second one computes
/// the gradients with what really comes from behind. Throws as the plain call, and ArgumentError for
/// segments of no rows.
template <std::size_t N, SelectiveScanGradients Wanted, class T>
void selective_scan_backward_segments(const SelectiveScanInputs<T>& in, std::size_t segment_rows,
                                      const std::type_identity_t<T>* chunk_states,
                                      std::type_identity_t<MatrixView<const T>> d_out,
                                      const std::type_identity_t<T>* d_final_state,
                                      const SelectiveScanGradientOutputs<T>& out, Workspace& workspace) {
  detail::check_selective_scan_inputs<N>(in);
  detail::check_selective_scan_gradients(in, d_out, Wanted, out);
  const Workspace::Scope scope(workspace);
  const detail::SegmentCut cut(in.sequences, segment_rows, workspace);
  if (!cut.cuts()) {
    return selective_scan_backward<N, Wanted>(in, chunk_states, d_out, d_final_state, out, workspace);
  }
  const std::size_t size = in.channels() * in.states(), S = in.sequences.count();
  SelectiveScanInputs<T> segments = in;
  segments.sequences = {cut.offsets};
  segments.initial_state = nullptr;
  segments.initial_stride = size;

  // behind: of the states behind each segment; before: of those before it.
  const auto behind = workspace.take<T>(cut.count() * size), before = workspace.take<T>(cut.count() * size);
  std::fill(behind.begin(), behind.end(), T(0));
  std::fill(before.begin(), before.end(), T(0));
  if (d_final_state) {
    for (std::size_t s = 0; s < S; ++s) {
      std::copy_n(d_final_state + s * size, size, behind.data() + (cut.first[s + 1] - 1) * size);
    }
  }
  constexpr SelectiveScanGradients states_only{.initial_state = true};
  SelectiveScanGradientOutputs<T> states_out;
  states_out.initial_state = before.data();
  states_out.initial_stride = size;
  selective_scan_backward<N, states_only>(segments, chunk_states, d_out, behind.data(), states_out,
                                          workspace);
  const auto decays = detail::segment_decays(in, cut, workspace);
  for (std::size_t s = 0; s < S; ++s) {
    for (std::size_t k = cut.first[s + 1] - 1; k > cut.first[s]; --k) {
      const T* later = before.data() + k * size;
      std::copy_n(later, size, behind.data() + (k - 1) * size);
      T* earlier = before.data() + (k - 1) * size;
      for (std::size_t i = 0; i < size; ++i)
        earlier[i] = fma(decays[(k - 1) * size + i], later[i], earlier[i]);
    }
    if constexpr (Wanted.initial_state) {
      T* target = out.initial_state + s * out.initial_stride;
      const T* source = before.data() + cut.first[s] * size;
      for (std::size_t i = 0; i < size; ++i) target[i] += source[i];
    }
  }
  constexpr SelectiveScanGradients rest = [] {
    SelectiveScanGradients gradients = Wanted;
    gradients.initial_state = false;
    return gradients;
  }();
  selective_scan_backward<N, rest>(segments, chunk_states, d_out, behind.data(), out, workspace);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
