#pragma once

#include "../../error.hpp"
#include "../../tensor/device.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../../tensor/workspace.hpp"
#include "detail/call_checks.hpp"
#include "detail/kernels/columns.hpp"
#include "options.hpp"
#include "policy.hpp"
#include "scan_problem.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

// The calls `scan` and `scan_backward` of linear recurrences, with matrices in the memory of a device that
// runs kernels, and algorithms for it.

namespace sdlora {

namespace detail {
/// How an algorithm scans in the memory of a device that runs kernels; specialised for each pair, with
///   static workspace_bytes(x)             the scratch memory that it needs for a ScanProblem
///   static run(x, workspace, bytes)       scans it inclusively, asynchronously where the device is so
template <class Policy, class Device>
struct KernelScan;
}  // namespace detail

/// An algorithm that scans in the memory of `Device`: an empty type with a `name` and a KernelScan.
template <class Policy, class Device>
concept KernelScanPolicy = !is_host<Device> && detail::NamedPolicy<Policy> &&
                           requires(const LinearScanProblem<float>& x, void* workspace, std::size_t bytes) {
                             {
                               detail::KernelScan<Policy, Device>::workspace_bytes(x)
                             } -> std::same_as<std::size_t>;
                             detail::KernelScan<Policy, Device>::run(x, workspace, bytes);
                           };

namespace detail {

/// Scans problem_of(s) for every sequence that has rows.
template <class Policy, class Device, class ProblemOf>
void scan_problems(const Sequences& sequences, WorkspaceOn<Device>& workspace, const ProblemOf& problem_of) {
  using Scan = KernelScan<Policy, Device>;
  const typename WorkspaceOn<Device>::Scope scope(workspace);
  std::size_t bytes = 0;
  const auto for_each = [&](const auto& f) {
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      if (sequences.length(s) > 0) f(problem_of(s));
    }
  };
  for_each([&](const auto& x) { bytes = std::max(bytes, Scan::workspace_bytes(x)); });
  void* const memory = bytes > 0 ? workspace.template matrix<std::byte>(1, bytes).data : nullptr;
  for_each([&](const auto& x) {
    using Problem = std::remove_cvref_t<decltype(x)>;
    if (x.columns == 0) return;
    if (x.has_head()) {
      Launcher<Device> launcher(Policy::name.data());
      launcher.template run<HeadKernel<Problem>>(ColumnKernelShape::blocks(x.columns), 0, x);
    }
    Scan::run(x, memory, bytes);
  });
}

/// Where the scan order of a sequence begins, and its step from row to row.
struct ScanOrder {
  std::size_t first;
  std::int64_t sign;

  ScanOrder(const Sequences& sequences, std::size_t s, ScanDirection direction)
      : first(sequences.first(s) + (direction == ScanDirection::Reverse ? sequences.length(s) - 1 : 0)),
        sign(direction == ScanDirection::Reverse ? -1 : 1) {}
};

/// Throws ShapeError unless the rows of all matrices are at one distance: a problem has one stride.
template <class T>
void check_one_stride(const char* call, const MatrixView<T>& first,
                      std::initializer_list<MatrixView<const std::remove_const_t<T>>> others) {
  for (const auto& other : others) {
    if (!other || other.rows <= 1 || other.stride == first.stride) continue;
    throw ShapeError(std::string(call) + ": the rows of one matrix are " + std::to_string(first.stride) +
                     " values apart, those of another " + std::to_string(other.stride) +
                     "; kernels take matrices of one stride");
  }
}

}  // namespace detail

/// Solves h_t = a_t·h_{t−1} + b_t for every column of a, b and h, each (L, columns): the call of scan.hpp in
/// the memory of `Device`, with an algorithm for it. The rows of all three lie at one distance. Sequences are
/// scanned one after another; their offsets lie in the host's memory. `h` may be the very memory of `b` or
/// `a` in an inclusive scan. Asynchronous where the device is so. Throws ShapeError where shapes or strides
/// differ, ArgumentError where memory is shared otherwise, Error where the device fails.
template <class Policy, class Stored, class Device>
  requires(!is_host<Device>)
void scan(Policy, const std::type_identity_t<MatrixView<const Stored, Device>>& a,
          const std::type_identity_t<MatrixView<const Stored, Device>>& b,
          const MatrixView<Stored, Device>& h,
          const std::type_identity_t<LinearScanOptions<recurrence_state_t<Stored>, Device>>& options,
          WorkspaceOn<Device>& workspace) {
  static_assert(KernelScanPolicy<Policy, Device>,
                "sdlora::scan: this algorithm does not run on the device whose memory the matrices lie in; "
                "BlockScan does on each that runs kernels, once the device's header is included");
  static_assert(is_recurrence_value_v<Stored>, "sdlora::scan: matrices hold float, double or bfloat16");
  detail::check_scan<Stored>(a.bare(), b.bare(), h.bare());
  detail::check_one_stride("scan", h.bare(), {a.bare(), b.bare()});
  if (options.kind == ScanKind::Exclusive && h && (h.data == a.data || h.data == b.data)) {
    throw ArgumentError(
        "scan: an exclusive scan by kernels writes the state of the step behind, so h must not be the memory "
        "of a or b; give it its own");
  }
  const detail::SequencesOfCall of_call("scan", options.sequences, h.rows);
  detail::check_states("scan", "initial", options.initial.bare(), of_call.sequences, h.cols);
  detail::scan_problems<Policy>(of_call.sequences, workspace, [&](std::size_t s) {
    const detail::ScanOrder order(of_call.sequences, s, options.direction);
    LinearScanProblem<Stored> x;
    x.length = static_cast<std::int64_t>(of_call.sequences.length(s));
    x.columns = static_cast<std::int64_t>(h.cols);
    x.time_stride = order.sign * static_cast<std::int64_t>(h.stride);
    x.column_stride = 1;
    x.a = a.row(order.first);
    x.b = b.row(order.first);
    x.h = h.row(order.first);
    if (options.initial) x.initial = options.initial.row(s);
    x.exclusive = options.kind == ScanKind::Exclusive;
    return x;
  });
}

/// Gradients of that scan, inclusive, given ∂loss/∂h: the call of scan_backward.hpp in the memory of
/// `Device`, another scan by the same algorithm against the direction of the first. d_a and d_initial
/// (sequences, columns) may be absent; without d_a nothing reads the values of h. d_b may be the memory of
/// d_h. Throws as the scan; ArgumentError for an exclusive one.
template <class Policy, class Stored, class Device>
  requires(!is_host<Device>)
void scan_backward(Policy, const std::type_identity_t<MatrixView<const Stored, Device>>& a,
                   const std::type_identity_t<MatrixView<const Stored, Device>>& h,
                   const std::type_identity_t<MatrixView<const Stored, Device>>& d_h,
                   const std::type_identity_t<MatrixView<Stored, Device>>& d_a,
                   const MatrixView<Stored, Device>& d_b,
                   const std::type_identity_t<MatrixView<recurrence_state_t<Stored>, Device>>& d_initial,
                   const std::type_identity_t<LinearScanOptions<recurrence_state_t<Stored>, Device>>& options,
                   WorkspaceOn<Device>& workspace) {
  static_assert(
      KernelScanPolicy<Policy, Device>,
      "sdlora::scan_backward: this algorithm does not run on the device whose memory the matrices lie "
      "in; BlockScan does on each that runs kernels, once the device's header is included");
  static_assert(is_recurrence_value_v<Stored>,
                "sdlora::scan_backward: matrices hold float, double or bfloat16");
  using T = recurrence_state_t<Stored>;
  detail::check_scan_backward<Stored>(options.kind, a.bare(), h.bare(), d_h.bare(), d_a.bare(), d_b.bare());
  detail::check_one_stride("scan_backward", d_b.bare(), {a.bare(), h.bare(), d_h.bare(), d_a.bare()});
  const detail::SequencesOfCall of_call("scan_backward", options.sequences, d_b.rows);
  const Sequences& sequences = of_call.sequences;
  detail::check_states("scan_backward", "initial", options.initial.bare(), sequences, d_b.cols);
  detail::check_states("scan_backward", "d_initial", d_initial.bare(), sequences, d_b.cols);
  const auto against =
      options.direction == ScanDirection::Forward ? ScanDirection::Reverse : ScanDirection::Forward;
  detail::scan_problems<Policy>(sequences, workspace, [&](std::size_t s) {
    const detail::ScanOrder order(sequences, s, against);
    LinearGradientProblem<Stored> x;
    x.length = static_cast<std::int64_t>(sequences.length(s));
    x.columns = static_cast<std::int64_t>(d_b.cols);
    x.time_stride = order.sign * static_cast<std::int64_t>(d_b.stride);
    x.column_stride = 1;
    x.a = a.row(order.first);
    x.h = h.row(order.first);
    x.d_h = d_h.row(order.first);
    if (d_a) x.d_a = d_a.row(order.first);
    x.d_b = d_b.row(order.first);
    if (options.initial) x.initial = options.initial.row(s);
    if (d_initial) x.d_initial = d_initial.row(s);
    return x;
  });
  if (!d_initial) return;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    if (sequences.length(s) == 0) Storage<T, Device>::zero(d_initial.row(s), d_b.cols);
  }
}

}  // namespace sdlora
