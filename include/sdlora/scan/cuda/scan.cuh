#pragma once

#include "../../tensor/cuda/device_matrix.cuh"
#include "../../tensor/cuda/storage.cuh"
#include "../../tensor/cuda/stream.cuh"
#include "../../tensor/tensor_view.hpp"
#include "../menu/detail/call_checks.hpp"
#include "../menu/detail/scan_call.hpp"
#include "../menu/options.hpp"
#include "../menu/scan.hpp"
#include "../menu/scan_problem.hpp"
#include "policies.cuh"

#include <cuda_runtime.h>
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sdlora {

namespace detail {

/// A matrix in the memory of the GPU, or none.
template <class T>
using CudaMatrix = TensorView<T, Extents<dyn, dyn>, Cuda>;

/// Scans problem_of(s) for every sequence, with scratch memory from the pool of the thread's stream.
template <class Policy, class ProblemOf>
void scan_sequences(Policy policy, std::size_t count, const ProblemOf& problem_of) {
  std::size_t bytes = 0;
  for (std::size_t s = 0; s < count; ++s) {
    const auto x = problem_of(s);
    if (x.length > 0 && x.columns > 0) bytes = std::max(bytes, Policy::workspace_bytes(x));
  }
  const Storage<std::byte, Cuda> workspace(bytes);
  const cudaStream_t stream = CudaStream::current().get();
  for (std::size_t s = 0; s < count; ++s) cuda_scan(policy, stream, problem_of(s), workspace.data(), bytes);
}

/// Where scan order begins in the rows of sequence s.
inline std::size_t first_row(const Sequences& sequences, std::size_t s, ScanDirection direction) {
  const bool from_end = direction == ScanDirection::Reverse && sequences.length(s) > 0;
  return sequences.first(s) + (from_end ? sequences.length(s) - 1 : 0);
}

}  // namespace detail

/// Solves h_t = a_t·h_{t−1} + b_t for every column of a, b and h, each (L, columns) in the memory of the GPU:
/// the call of scan.hpp with an algorithm for the GPU. float, double, or BFloat16 with float states.
/// `options.initial` points into the GPU's memory too (`device_matrix` makes it of a tensor), the offsets of
/// sequences lie in the host's; sequences are scanned one after another. Asynchronous on the thread's current
/// stream, with scratch memory from its pool. `h` may be the very memory of `b` or `a` in an inclusive scan.
/// Throws ShapeError where shapes differ, ArgumentError for an exclusive scan in place, Error where CUDA
/// fails.
template <CudaScanPolicy Policy, class A, class AExtents, class B, class BExtents, class Stored,
          class HExtents>
  requires std::same_as<std::remove_const_t<A>, Stored> && std::same_as<std::remove_const_t<B>, Stored>
void scan(Policy policy, const TensorView<A, AExtents, Cuda>& a, const TensorView<B, BExtents, Cuda>& b,
          const TensorView<Stored, HExtents, Cuda>& h,
          const LinearScanOptions<recurrence_state_t<Stored>>& options = {}) {
  static_assert(AExtents::rank() == 2 && BExtents::rank() == 2 && HExtents::rank() == 2,
                "sdlora::scan: a, b and h have two extents, (L, columns); reshape them");
  const std::size_t rows = h.extent(0);
  const std::size_t columns = h.extent(1);
  detail::check_scan<Stored>(device_matrix(a), device_matrix(b), device_matrix(h));
  if (options.kind == ScanKind::Exclusive && h.size() > 0 && (h.data() == a.data() || h.data() == b.data())) {
    throw ArgumentError(
        "scan: an exclusive scan on the GPU writes the state of the step behind, so h must not be the memory "
        "of a or b; give it its own");
  }
  const detail::SequencesOfCall of_call("scan", options.sequences, rows);
  const Sequences& sequences = of_call.sequences;
  detail::check_states("scan", "initial", options.initial, sequences, columns);
  const auto stride = static_cast<std::int64_t>(columns);
  detail::scan_sequences(policy, sequences.count(), [&](std::size_t s) {
    const std::size_t first = detail::first_row(sequences, s, options.direction) * columns;
    LinearScanProblem<Stored> x;
    x.length = static_cast<std::int64_t>(sequences.length(s));
    x.columns = stride;
    x.time_stride = options.direction == ScanDirection::Reverse ? -stride : stride;
    x.column_stride = 1;
    x.a = a.data() + first;
    x.b = b.data() + first;
    x.h = h.data() + first;
    if (options.initial) x.initial = options.initial.row(s);
    x.exclusive = options.kind == ScanKind::Exclusive;
    return x;
  });
}

/// Gradients of that scan, inclusive, given ∂loss/∂h: the call of scan_backward.hpp with an algorithm for the
/// GPU, which is another scan by it, against the direction of the first. d_a and d_initial (sequences,
/// columns) may be absent; all lie in the GPU's memory. d_b may be the memory of d_h. Asynchronous, and
/// throws, as the scan; ArgumentError for an exclusive one.
template <CudaScanPolicy Policy, class A, class AExtents, class H, class HExtents, class G, class GExtents,
          class Stored, class BExtents>
  requires std::same_as<std::remove_const_t<A>, Stored> && std::same_as<std::remove_const_t<H>, Stored> &&
           std::same_as<std::remove_const_t<G>, Stored>
void scan_backward(Policy policy, const TensorView<A, AExtents, Cuda>& a,
                   const TensorView<H, HExtents, Cuda>& h, const TensorView<G, GExtents, Cuda>& d_h,
                   const std::type_identity_t<detail::CudaMatrix<Stored>>& d_a,
                   const TensorView<Stored, BExtents, Cuda>& d_b,
                   MatrixView<recurrence_state_t<Stored>> d_initial = {},
                   const LinearScanOptions<recurrence_state_t<Stored>>& options = {}) {
  static_assert(
      AExtents::rank() == 2 && HExtents::rank() == 2 && GExtents::rank() == 2 && BExtents::rank() == 2,
      "sdlora::scan_backward: all matrices have two extents, (L, columns); reshape them");
  const std::size_t rows = d_b.extent(0), columns = d_b.extent(1);
  detail::check_scan_backward<Stored>(options.kind, device_matrix(a), device_matrix(h), device_matrix(d_h),
                                      device_matrix(d_a), device_matrix(d_b));
  const detail::SequencesOfCall of_call("scan_backward", options.sequences, rows);
  const Sequences& sequences = of_call.sequences;
  detail::check_states("scan_backward", "initial", options.initial, sequences, columns);
  detail::check_states("scan_backward", "d_initial", d_initial, sequences, columns);
  const bool forward = options.direction == ScanDirection::Forward;
  const auto stride = static_cast<std::int64_t>(columns);
  detail::scan_sequences(policy, sequences.count(), [&](std::size_t s) {
    const auto backward = forward ? ScanDirection::Reverse : ScanDirection::Forward;
    const std::size_t first = detail::first_row(sequences, s, backward) * columns;
    LinearGradientProblem<Stored> x;
    x.length = static_cast<std::int64_t>(sequences.length(s));
    x.columns = stride;
    x.time_stride = forward ? -stride : stride;
    x.column_stride = 1;
    x.a = a.data() + first;
    x.h = h.data() + first;
    x.d_h = d_h.data() + first;
    if (d_a.data() != nullptr) x.d_a = d_a.data() + first;
    x.d_b = d_b.data() + first;
    if (options.initial) x.initial = options.initial.row(s);
    if (d_initial) x.d_initial = d_initial.row(s);
    return x;
  });
  if (!d_initial) return;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    if (sequences.length(s) == 0) Storage<recurrence_state_t<Stored>, Cuda>::zero(d_initial.row(s), columns);
  }
}

namespace detail {

template <class Policy, class V, class InView, class OutView, class Op>
void scan_device_values(Policy policy, const InView& in, const OutView& out, const ScanOptions<V>& options,
                        const Op& op) {
  static_assert(
      ScanProblem<ValueScanProblem<Op>>,
      "sdlora::scan: a GPU's kernels take operators that are trivially copyable, as are their values");
  check_element_scan<V>({in.data(), in.size()}, {out.data(), out.size()});
  if (in.size() > 0 && in.data() == out.data()) {
    throw ArgumentError(
        "scan: on the GPU a scan of values reads in while it writes out, so they must not be the same "
        "memory; give out its own");
  }
  const SequencesOfCall of_call("scan", options.sequences, in.size());
  const Sequences& sequences = of_call.sequences;
  scan_sequences(policy, sequences.count(), [&](std::size_t s) {
    const std::size_t first = first_row(sequences, s, options.direction);
    ValueScanProblem<Op> x{op};
    x.in = in.data() + first;
    x.out = out.data() + first;
    x.length = static_cast<std::int64_t>(sequences.length(s));
    x.stride = options.direction == ScanDirection::Reverse ? -1 : 1;
    if (options.initial) x.initial = *options.initial;
    x.has_initial = options.initial.has_value();
    x.exclusive = options.kind == ScanKind::Exclusive;
    return x;
  });
}

}  // namespace detail

/// Scans `in` (L values) into `out` (L values) under any associative operator, both in the memory of the GPU:
/// the call of scan.hpp with an algorithm for the GPU, and operators as there. The operator is copied into
/// kernels: it and its values are trivially copyable, and its call is constexpr or __device__. An initial
/// value and the offsets of sequences lie in the host's memory; sequences are scanned one after another.
/// `out` must not overlap `in`. Asynchronous as above. Throws ShapeError where lengths differ or the
/// sequences do not cover them, Error where CUDA fails.
template <CudaScanPolicy Policy, class In, class InExtents, class V, class OutExtents,
          class Op = detail::NoOperator>
  requires std::same_as<std::remove_const_t<In>, V>
void scan(Policy policy, const TensorView<In, InExtents, Cuda>& in,
          const TensorView<V, OutExtents, Cuda>& out,
          const std::type_identity_t<ScanOptions<V>>& options = {}, const Op& op = {}) {
  static_assert(InExtents::rank() == 1 && OutExtents::rank() == 1,
                "sdlora::scan: in and out have one extent, (L); reshape them");
  if constexpr (detail::require_operator<V, Op>()) {
    detail::scan_device_values(policy, in, out, options, detail::operator_of_call<V>(op));
  }
}

}  // namespace sdlora
