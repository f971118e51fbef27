#pragma once

#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/parallel.hpp"
#include "detail/call_checks.hpp"
#include "detail/scan_call.hpp"
#include "options.hpp"
#include "policy.hpp"
#include "segmented.hpp"
#include "with_identity.hpp"

#include <algorithm>
#include <concepts>
#include <ranges>
#include <type_traits>

namespace sdlora {

namespace detail {

/// Writes into `out` what an inclusive scan in place turns into the scan of one sequence.
/// `wrap(value, is_first)` makes an output element.
template <class V, class W, class Op, class Wrap>
void arrange(std::span<const V> in, std::span<W> out, const ScanOptions<V>& options, const Op& op,
             const Wrap& wrap) {
  const std::size_t length = in.size();
  bool reverse = options.direction == ScanDirection::Reverse;
  if constexpr (std::is_same_v<V, W>) {
    if (reverse && in.data() == out.data()) {
      std::ranges::reverse(out);
      reverse = false;
    }
  }
  const auto at = [&](std::size_t i) -> const V& { return in[reverse ? length - 1 - i : i]; };
  if (length == 0) return;
  if (options.kind == ScanKind::Exclusive) {
    for (std::size_t i = length; i-- > 1;) out[i] = wrap(at(i - 1), false);
    out[0] = wrap(options.initial ? *options.initial : V(op.identity()), true);
  } else {
    for (std::size_t i = length; i-- > 1;) out[i] = wrap(at(i), false);
    out[0] = wrap(options.initial ? V(op(*options.initial, at(0))) : at(0), true);
  }
}

}  // namespace detail

namespace detail {

template <class Policy, class V, class Op>
void scan_values(std::span<const V> values, std::span<V> results, const ScanOptions<V>& options, const Op& op,
                 Workspace& workspace) {
  check_element_scan<V>(values, results);
  check_sequences("scan", options.sequences, values.size());
  if (options.sequences.count() <= 1) {
    arrange<V, V>(values, results, options, op, [](const V& v, bool) { return v; });
    Policy::inclusive(results, op, workspace);
    if (options.direction == ScanDirection::Reverse) std::ranges::reverse(results);
    return;
  }
  // One scan under the segmented operator. Reversed sequences are arranged one by one, in place.
  const Segmented<Op> segmented{op};
  Scratch<SegmentedValue<V>> scratch(workspace, values.size());
  const auto marked = scratch.values();
  for (std::size_t s = 0; s < options.sequences.count(); ++s) {
    const std::size_t first = options.sequences.first(s), length = options.sequences.length(s);
    arrange<V, SegmentedValue<V>>(values.subspan(first, length), marked.subspan(first, length), options, op,
                                  [](const V& v, bool head) { return SegmentedValue<V>{v, head}; });
  }
  Policy::inclusive(marked, segmented, workspace);
  for (std::size_t s = 0; s < options.sequences.count(); ++s) {
    const std::size_t first = options.sequences.first(s), length = options.sequences.length(s);
    const bool reverse = options.direction == ScanDirection::Reverse;
    for (std::size_t i = 0; i < length; ++i) {
      results[first + (reverse ? length - 1 - i : i)] = marked[first + i].value;
    }
  }
}

}  // namespace detail

/// Scans `in` (L values) into `out` (L values) under `op`: for every place, the composition of what
/// comes before it in scan order, led by the initial value, with itself if inclusive.
/// `policy` is the algorithm (ScanPolicy). `op` is associative: an AssociativeOperator, a function whose
/// identity is known (std::plus, std::multiplies, Maximum, Minimum), or any other by with_identity(op,
/// identity); for LinearStep values it may be left out. `in` and `out` are contiguous ranges. `out` may be
/// `in` itself, but must not overlap it in another way. Where sequences are given, each is scanned by itself
/// and `initial` leads each. Scratch comes from `workspace`. Throws ShapeError where lengths differ or the
/// sequences do not cover them, ArgumentError where they overlap.
template <class Policy, class In, class Out, class Op>
  requires detail::ValueRange<const In> && detail::ValueRange<Out>
void scan(Policy, const In& in, Out&& out,
          const std::type_identity_t<ScanOptions<std::ranges::range_value_t<Out>>>& options, const Op& op,
          Workspace& workspace) {
  if constexpr (detail::require_element_scan<Policy, const In, Out, Op>()) {
    using V = std::ranges::range_value_t<Out>;
    const std::span<const V> values(std::ranges::data(in), std::ranges::size(in));
    const std::span<V> results(std::ranges::data(out), std::ranges::size(out));
    detail::scan_values<Policy, V>(values, results, options, detail::operator_of_call<V>(op), workspace);
  }
}

/// The same, with scratch memory of the running thread.
template <class Policy, class In, class Out, class Op = detail::NoOperator>
  requires detail::ValueRange<const In> && detail::ValueRange<Out>
void scan(Policy policy, const In& in, Out&& out,
          const std::type_identity_t<ScanOptions<std::ranges::range_value_t<Out>>>& options = {},
          const Op& op = {}) {
  scan(policy, in, out, options, op, thread_workspace());
}

/// Says that other things than contiguous ranges cannot be scanned.
template <class Policy, class In, class Out, class Options = ScanOptions<float>,
          class Op = detail::NoOperator>
  requires(!(detail::ValueRange<const In> && detail::ValueRange<Out>)) && detail::OptionsOfScan<Options> &&
          (!detail::InDeviceMemory<In>) && (!detail::InDeviceMemory<Out>)
void scan(Policy, const In&, Out&&, const Options& = {}, const Op& = {}, Workspace& = thread_workspace()) {
  static_assert(
      detail::ValueRange<const In> && detail::ValueRange<Out>,
      "sdlora::scan: in and out are contiguous ranges of values, as std::vector, std::array and std::span; "
      "of an Eigen vector or a Tensor pass std::span(x.data(), x.size()); a linear recurrence takes three "
      "matrices: scan(policy, a, b, h)");
}

namespace detail {

template <class Policy, class T, class Stored>
void scan_block(const LinearBlock<T, Stored>& x, Workspace& workspace) {
  if (x.length == 0 || x.columns == 0) return;
  if constexpr (ColumnScan<Policy>) {
    Policy::columns(x, workspace);
  } else {
    solve_columns(x, workspace, [&](std::span<LinearStep<T>> steps, T initial) {
      // The initial state goes into the first step; every later one then gives states by its b.
      steps[0].b = LinearRecurrence<T>::apply(steps[0], initial);
      Policy::inclusive(steps, LinearRecurrence<T>{}, workspace);
    });
  }
}

/// A call's matrices as blocks: tasks of some columns of one sequence each, or all columns of a sequence.
template <class T, class Stored>
struct LinearBlocks {
  MatrixView<const Stored> a, b;
  MatrixView<Stored> h;
  const LinearScanOptions<T>& options;
  Sequences sequences;
  bool streaming = 3 * h.rows * h.cols * sizeof(Stored) > streaming_bytes;
  std::size_t width = task_columns<Stored>(h.cols, streaming);
  std::size_t blocks = detail::ceil_div(h.cols, width);  // of one sequence

  std::size_t tasks() const { return sequences.count() * blocks; }

  LinearBlock<T, Stored> task(std::size_t i) const {
    const std::size_t first_column = i % blocks * width;
    return block(i / blocks, first_column, std::min(width, h.cols - first_column));
  }
  LinearBlock<T, Stored> sequence(std::size_t s) const { return block(s, 0, h.cols); }

 private:
  LinearBlock<T, Stored> block(std::size_t s, std::size_t first_column, std::size_t columns) const {
    LinearBlock<T, Stored> x;
    x.length = sequences.length(s);
    const bool reverse = options.direction == ScanDirection::Reverse && x.length > 0;
    const std::size_t first = reverse ? sequences.first(s) + x.length - 1 : sequences.first(s);
    const std::ptrdiff_t sign = reverse ? -1 : 1;
    x.a = a.row(first) + first_column;
    x.b = b.row(first) + first_column;
    x.h = h.row(first) + first_column;
    x.a_step = sign * static_cast<std::ptrdiff_t>(a.stride);
    x.b_step = sign * static_cast<std::ptrdiff_t>(b.stride);
    x.h_step = sign * static_cast<std::ptrdiff_t>(h.stride);
    x.columns = columns;
    x.first_column = first_column;
    if (options.initial) x.initial = options.initial.row(s) + first_column;
    x.exclusive = options.kind == ScanKind::Exclusive;
    x.streaming = streaming;
    return x;
  }
};

/// Throws as the policy's `check` unless all blocks lie in its domain.
template <class Policy, class T, class Stored>
void check_blocks(const LinearBlocks<T, Stored>& x) {
  if constexpr (GuardedColumnScan<Policy>) {
    parallel_for(x.tasks(), [&](std::size_t task) {
      if (const auto block = x.task(task); block.length > 0) Policy::check(block);
    });
  }
}

template <class Policy, class T, class Stored>
void scan_blocks(const LinearBlocks<T, Stored>& x, Workspace& workspace) {
  if constexpr (SplitsTime<Policy>) {
    for (std::size_t s = 0; s < x.sequences.count(); ++s) scan_block<Policy>(x.sequence(s), workspace);
  } else if (x.tasks() == 1) {
    scan_block<Policy>(x.task(0), workspace);
  } else {
    parallel_for(x.tasks(), [&](std::size_t task) { scan_block<Policy>(x.task(task), thread_workspace()); });
  }
}

}  // namespace detail

/// Solves h_t = a_t·h_{t−1} + b_t for every column of a, b and h, each (L, columns), row t being
/// time step t. `policy` is the algorithm; columns and sequences run in parallel, and results do not
/// depend on the number of threads. `h` may be the very memory of `b` or `a`, but not overlap
/// them in another way. Rows of `a` and `b` may overlap (a stride of 0 is one row for all steps). Matrices of
/// BFloat16 have float states, and only what is stored is rounded; SimdChannels and SimdStates take them.
/// Scratch is that of the threads that run the tasks; `workspace` serves a call of one task, and policies
/// that cut time themselves (Chunked). Throws ShapeError where shapes differ, ArgumentError where memory is
/// shared otherwise or a policy's domain is left; then nothing has been written.
template <ScanPolicy Policy, class Stored>
void scan(Policy, MatrixView<const std::type_identity_t<Stored>> a,
          MatrixView<const std::type_identity_t<Stored>> b, MatrixView<Stored> h,
          const LinearScanOptions<recurrence_state_t<Stored>>& options, Workspace& workspace) {
  static_assert(is_recurrence_value_v<Stored>,
                "sdlora::scan: matrices hold float, double or bfloat16; for other values pass their steps "
                "(a, b) as a range of LinearStep");
  using T = recurrence_state_t<Stored>;
  static_assert(std::is_same_v<T, Stored> || NarrowColumnScan<Policy>,
                "sdlora::scan: this policy does not read bfloat16; choose SimdChannels or SimdStates, or "
                "pass matrices of float");
  detail::check_scan<Stored>(a, b, h);
  const detail::SequencesOfCall of_call("scan", options.sequences, h.rows);
  const Sequences& sequences = of_call.sequences;
  detail::check_states("scan", "initial", options.initial, sequences, h.cols);
  const detail::LinearBlocks<T, Stored> blocks{a, b, h, options, sequences};
  detail::check_blocks<Policy>(blocks);
  detail::scan_blocks<Policy>(blocks, workspace);
}

/// The same, with scratch memory of the running thread.
template <ScanPolicy Policy, class Stored>
void scan(Policy policy, MatrixView<const std::type_identity_t<Stored>> a,
          MatrixView<const std::type_identity_t<Stored>> b, MatrixView<Stored> h,
          const LinearScanOptions<recurrence_state_t<Stored>>& options = {}) {
  scan(policy, a, b, h, options, thread_workspace());
}

/// Says what a linear recurrence takes, where these matrices or this algorithm are nothing of that.
template <class Policy, class A, class B, class H, class Options = LinearScanOptions<float>>
  requires(!detail::OptionsOfScan<H>) && (!detail::InDeviceMemory<H>) &&
          (!(ScanPolicy<Policy> && detail::matrices_fit<A, B, H>()))
void scan(Policy, const A&, const B&, H&&, const Options& = {}, Workspace& = thread_workspace()) {
  detail::refuse_matrices<Policy, A, B, H>();
}

/// Gives back the scratch memory that scans have left with the running thread and with those of the thread
/// team, which are started anew. Not to be called from inside a parallel loop.
inline void release_scan_memory() {
  thread_workspace() = Workspace();
  set_thread_count(thread_count());
}

}  // namespace sdlora
