#pragma once

#include "../../tensor/extents.hpp"
#include "scan.hpp"

namespace sdlora {

namespace detail {

/// The gradients by a scan against the direction of the first, for any policy.
template <class Policy, class T>
void gradients_by_scans(MatrixView<const T> a, MatrixView<const T> h, MatrixView<const T> d_h,
                        MatrixView<T> d_a, MatrixView<T> d_b, MatrixView<T> d_initial,
                        const LinearScanOptions<T>& options, const Sequences& sequences,
                        Workspace& workspace) {
  const bool forward = options.direction == ScanDirection::Forward;
  const std::size_t columns = d_b.cols;
  const auto last_step = [&](std::size_t s) {
    return forward ? sequences.first(s) + sequences.length(s) - 1 : sequences.first(s);
  };
  // The last step has no successor: its d_h starts the scan of the others, whose a is their successor's.
  const auto with_scan = [&](std::size_t s, const auto& f) {
    const std::size_t begin = sequences.first(s), rest = sequences.length(s) - 1, steps[2] = {0, rest};
    LinearScanOptions<T> against;
    against.direction = forward ? ScanDirection::Reverse : ScanDirection::Forward;
    against.initial = d_h.rows_from(last_step(s), 1);
    const std::size_t first = forward ? begin : begin + 1, next = forward ? begin + 1 : begin;
    f(LinearBlocks<T, T>{a.rows_from(next, rest), d_h.rows_from(first, rest), d_b.rows_from(first, rest),
                         against, Sequences{steps}});
  };
  if constexpr (GuardedColumnScan<Policy>) {
    for (std::size_t s = 0; s < sequences.count(); ++s) {  // all, before any is written
      if (sequences.length(s) == 0) continue;
      try {
        with_scan(s, [](const auto& blocks) { check_blocks<Policy>(blocks); });
      } catch (const ArgumentError& error) {
        throw ArgumentError(std::string("scan_backward: scans against time, with d_h in the place of b: ") +
                            error.what());
      }
    }
  }
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    const std::size_t length = sequences.length(s), begin = sequences.first(s), last = last_step(s);
    if (length == 0) {
      if (d_initial) std::fill_n(d_initial.row(s), columns, T(0));
      continue;
    }
    if (d_b.row(last) != d_h.row(last)) std::copy_n(d_h.row(last), columns, d_b.row(last));
    with_scan(s, [&](const auto& blocks) { scan_blocks<Policy>(blocks, workspace); });
    const std::size_t first = forward ? begin : begin + length - 1;
    if (d_initial) {
      for (std::size_t j = 0; j < columns; ++j) d_initial(s, j) = a(first, j) * d_b(first, j);
    }
    if (!d_a) continue;
    constexpr std::size_t rows_per_task = 64;
    parallel_for(ceil_div(length, rows_per_task), [&](std::size_t task) {
      for (std::size_t t = task * rows_per_task; t < std::min(length, (task + 1) * rows_per_task); ++t) {
        const std::size_t row = begin + t;
        const T* before = row == first ? (options.initial ? options.initial.row(s) : nullptr)
                                       : h.row(forward ? row - 1 : row + 1);
        const T* g = d_b.row(row);
        T* out = d_a.row(row);
        if (before) {
          for (std::size_t j = 0; j < columns; ++j) out[j] = g[j] * before[j];
        } else {
          std::fill_n(out, columns, T(0));
        }
      }
    });
  }
}

}  // namespace detail

/// Gradients of `scan(policy, a, b, h, options)`, inclusive, given ∂loss/∂h.
/// A policy with a backward pass of its own does all in one go; the others scan again: with g_t = ∂loss/∂h_t
/// + a_{t+1}·g_{t+1} (a scan against the direction of the first, with a shifted by one step), ∂loss/∂b = g,
/// ∂loss/∂a_t = g_t·h_{t−1} and ∂loss/∂initial = a_0·g_0. a, h, d_h, d_a, d_b are (L, columns);
/// initial and d_initial (sequences, columns). d_a and d_initial may be absent: then they are not
/// computed. Matrices of BFloat16 as in `scan`: sums over time are float. d_b may be the memory of d_h;
/// nothing else may overlap. Scratch as in `scan`, but a policy's own backward pass takes that of the
/// threads. Throws as `scan` does, nothing written: a policy's limited domain is that of the gradients' own
/// scan, with d_h in the place of b. ArgumentError for an exclusive scan.
template <ScanPolicy Policy, class Stored>
void scan_backward(Policy, MatrixView<const std::type_identity_t<Stored>> a,
                   MatrixView<const std::type_identity_t<Stored>> h,
                   MatrixView<const std::type_identity_t<Stored>> d_h,
                   MatrixView<std::type_identity_t<Stored>> d_a, MatrixView<Stored> d_b,
                   MatrixView<recurrence_state_t<Stored>> d_initial,
                   const LinearScanOptions<recurrence_state_t<Stored>>& options, Workspace& workspace) {
  static_assert(is_recurrence_value_v<Stored>,
                "sdlora::scan_backward: matrices hold float, double or bfloat16");
  using T = recurrence_state_t<Stored>;
  static_assert(
      std::is_same_v<T, Stored> || NarrowColumnScan<Policy>,
      "sdlora::scan_backward: this policy does not read bfloat16; choose SimdChannels or SimdStates, "
      "or pass matrices of float");
  detail::check_scan_backward<Stored>(options.kind, a, h, d_h, d_a, d_b);
  const detail::SequencesOfCall of_call("scan_backward", options.sequences, d_b.rows);
  const Sequences& sequences = of_call.sequences;
  const std::size_t columns = d_b.cols;
  detail::check_states("scan_backward", "initial", options.initial, sequences, columns);
  detail::check_states("scan_backward", "d_initial", d_initial, sequences, columns);

  const bool forward = options.direction == ScanDirection::Forward;
  if constexpr (ColumnScanBackward<Policy>) {
    const bool streaming = 5 * d_b.rows * columns * sizeof(Stored) > detail::streaming_bytes;
    const std::size_t width = detail::task_columns<Stored>(columns, streaming);
    const std::size_t blocks = detail::ceil_div(columns, width);
    parallel_for(sequences.count() * blocks, [&](std::size_t task) {
      const std::size_t s = task / blocks, column = task % blocks * width;
      const std::size_t length = sequences.length(s);
      if (length == 0) {
        if (d_initial) std::fill_n(d_initial.row(s) + column, std::min(width, columns - column), T(0));
        return;
      }
      const std::size_t last = sequences.first(s) + (forward ? length - 1 : 0);
      const std::ptrdiff_t sign = forward ? 1 : -1;
      LinearGradientBlock<T, Stored> x;
      x.a = a.row(last) + column;
      x.h = h.row(last) + column;
      x.d_h = d_h.row(last) + column;
      x.d_a = d_a ? d_a.row(last) + column : nullptr;
      x.d_b = d_b.row(last) + column;
      x.a_step = sign * static_cast<std::ptrdiff_t>(a.stride);
      x.h_step = sign * static_cast<std::ptrdiff_t>(h.stride);
      x.d_h_step = sign * static_cast<std::ptrdiff_t>(d_h.stride);
      x.d_a_step = sign * static_cast<std::ptrdiff_t>(d_a.stride);
      x.d_b_step = sign * static_cast<std::ptrdiff_t>(d_b.stride);
      x.length = length;
      x.columns = std::min(width, columns - column);
      x.initial = options.initial ? options.initial.row(s) + column : nullptr;
      x.d_initial = d_initial ? d_initial.row(s) + column : nullptr;
      x.streaming = streaming;
      Policy::columns_backward(x, thread_workspace());
    });
  } else {
    detail::gradients_by_scans<Policy, T>(a, h, d_h, d_a, d_b, d_initial, options, sequences, workspace);
  }
}

/// The same, with scratch memory of the running thread.
template <ScanPolicy Policy, class Stored>
void scan_backward(Policy policy, MatrixView<const std::type_identity_t<Stored>> a,
                   MatrixView<const std::type_identity_t<Stored>> h,
                   MatrixView<const std::type_identity_t<Stored>> d_h,
                   MatrixView<std::type_identity_t<Stored>> d_a, MatrixView<Stored> d_b,
                   MatrixView<recurrence_state_t<Stored>> d_initial = {},
                   const LinearScanOptions<recurrence_state_t<Stored>>& options = {}) {
  scan_backward(policy, a, h, d_h, d_a, d_b, d_initial, options, thread_workspace());
}

}  // namespace sdlora
