#pragma once

#include "../../../error.hpp"
#include "../../../tensor/extents.hpp"
#include "../../../tensor/sequences.hpp"
#include "../../../tensor/workspace.hpp"
#include "../arguments.hpp"
#include "blocks.hpp"
#include "parameters.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sdlora::detail {
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
    rows = round_up(std::min(rows, sequences.rows() + 1), scan_chunk);
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

/// The two passes over segments of time, forward or in `Reverse`, that `selective_scan_forward_segments` and
/// `_backward_segments` share. The state runs forward, its gradient in reverse; in that direction a segment
/// is the first of its sequence where nothing of another enters, the last where nothing goes on to another.
template <bool Reverse, class T>
class SegmentPasses {
 public:
  const ScanPlan plan;
  const ScanParameters<T> parameters;
  std::span<T> entering, leaving;  // (segments, E, N)

  /// `in` has the segments as its sequences.
  SegmentPasses(const SelectiveScanInputs<T>& in, const SegmentCut& cut, Workspace& workspace)
      : plan(ScanPlan::make(in, workspace, true)),
        parameters(in, plan.lines, workspace),
        in_(in),
        cut_(cut),
        size_(in.channels() * in.states()),
        line_values_(plan.lines * scan_line<T>) {
    entering = workspace.take<T>(cut.count() * size_);
    leaving = workspace.take<T>(cut.count() * size_);
    decays_ = workspace.take<T>(cut.count() * size_);
    delta_sums_ = workspace.take<T>(cut.count() * line_values_);
    first_ = workspace.take<std::uint8_t>(cut.count());
    last_ = workspace.take<std::uint8_t>(cut.count());
    for (const auto values : {entering, leaving}) std::fill(values.begin(), values.end(), T(0));
    for (const auto marks : {first_, last_}) std::fill(marks.begin(), marks.end(), std::uint8_t{0});
    for (std::size_t s = 0; s + 1 < cut.first.size(); ++s) {
      first_[first_of(s)] = 1;
      last_[last_of(s)] = 1;
    }
  }

  /// A sequence's first and last segment, in the direction of the passes.
  std::size_t first_of(std::size_t s) const { return Reverse ? cut_.first[s + 1] - 1 : cut_.first[s]; }
  std::size_t last_of(std::size_t s) const { return Reverse ? cut_.first[s] : cut_.first[s + 1] - 1; }
  /// The (E, N) values of segment k in `entering` or `leaving`.
  T* values(std::span<T> of, std::size_t k) const { return of.data() + k * size_; }

  /// The first pass calls `whole(task, k, slot)` for the first segments, which know what enters them, and for
  /// those between `effect(task, k, slot, delta_sums)`: what they do to zero, with their sums of Δ.
  template <class Whole, class Effect>
  void first_pass(std::size_t work, ScanScratch<T>& slots, const Whole& whole, const Effect& effect) const {
    run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
      const std::size_t k = task / plan.groups;
      if (last_[k] && !first_[k]) return;
      typename ScanScratch<T>::Slot slot(slots);
      if (first_[k]) return whole(task, k, slot);
      T* const sums = delta_sums_.data() + k * line_values_;
      effect(task, k, slot, sums);
      segment_decay(in_, plan, task % plan.groups, sums, values(decays_, k));
    });
  }
  /// Finds what enters each segment: what leaves the one before, with what had entered that one.
  void link() const {
    for (std::size_t i = 0; i < cut_.count(); ++i) {
      const std::size_t k = Reverse ? cut_.count() - 1 - i : i;
      if (last_[k]) continue;
      T* const next = values(entering, Reverse ? k - 1 : k + 1);
      std::copy_n(values(leaving, k), size_, next);
      if (!first_[k]) add_carried(next, values(decays_, k), values(entering, k), size_);
    }
  }
  /// The second pass calls `whole` for all others. Behind it, only what leaves last segments is of use: where
  /// `whole` adds to `leaving`, that of the others counts what the first pass left there, too.
  template <class Whole>
  void second_pass(std::size_t work, ScanScratch<T>& slots, const Whole& whole) const {
    run_scan_tasks(plan.tasks(), work, [&](std::size_t task) {
      const std::size_t k = task / plan.groups;
      if (first_[k]) return;
      typename ScanScratch<T>::Slot slot(slots);
      whole(task, k, slot);
    });
  }

 private:
  const SelectiveScanInputs<T>& in_;
  const SegmentCut& cut_;
  std::size_t size_, line_values_;
  std::span<T> decays_, delta_sums_;
  std::span<std::uint8_t> first_, last_;
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
