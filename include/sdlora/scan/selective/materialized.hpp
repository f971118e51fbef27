#pragma once

#include "../menu/policy.hpp"
#include "detail/materialized.hpp"
#include "interface.hpp"

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The selective scan in the open, as a type: decays exp(Δ·A) and inputs Δ·u·B are written out as matrices
/// (rows, channels · N), `Policy` scans them, and every other step is an expression over them. With
/// `Sequential` it is the definition, step by step. It saves no checkpoints: the backward pass scans again,
/// then in reverse, by the same policy (scan_backward).
/// It works on groups of channels, so many that their matrices take at most `Bytes`, and on one channel where
/// that takes more; what `Policy` needs for itself comes on top. This is the one exception to the library's
/// rule that B·L·E·N values are never in memory. Results do not depend on `Bytes`, nor on the number of
/// threads. It is for comparing scans, and for policies of a GPU; `Fused` reads and writes far less.
/// Work and depth: those of the policy, per channel and state; twice forward's work, and as much again in
/// reverse, backward. Stability: that of the policy; those that multiply decays with each other (all but
/// Sequential, SimdChannels and SimdStates) may overflow where A > 0. What the policy's comment says of
/// memory that it allocates, or of an order that changes from run to run, holds here, too.
/// Policies with a limited domain (Heinsen, CumsumRatio) do not compile. Source: Gu and Dao, "Mamba", 2023,
/// algorithm 2, as written; the gradients are the chain rule through it.
template <class Policy, std::size_t Bytes = std::size_t{64} << 20>
struct Materialized {
  static_assert(ScanPolicy<Policy>,
                "sdlora::Materialized: takes a scan policy of the menu, such as SimdChannels or Blelloch");
  static_assert(
      !GuardedColumnScan<Policy>,
      "sdlora::Materialized: this policy refuses some signs or ranges of values, and those of a selective "
      "scan have any; choose one without limits: SimdChannels, SimdStates, Sequential, Chunked, Blelloch, "
      "HillisSteele, KoggeStone, Sklansky");
  static constexpr std::string_view name = "materialized";

  static std::size_t checkpoint_size(Sequences /*sequences*/, std::size_t /*E*/, std::size_t /*N*/) {
    return 0;
  }

  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                      std::type_identity_t<T>* final_state, std::type_identity_t<T>* /*checkpoints*/,
                      Workspace& workspace) {
    detail::check_selective_scan_inputs<N>(in);
    detail::matrix_checks(in).check_out(in, out);
    using Group = detail::MaterializedGroup<Policy, T>;
    detail::for_each_materialized_group<Policy, T>(
        in, Group::forward_size(in.sequences.rows(), in.states()), Bytes, workspace,
        [&](const Group& group) { group.forward(out, final_state); });
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* /*checkpoints*/,
                       std::type_identity_t<MatrixView<const T>> d_out,
                       const std::type_identity_t<T>* d_final_state,
                       const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
    detail::check_selective_scan_inputs<N>(in);
    detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
    constexpr detail::BackwardWork work(Wanted);
    if constexpr (work.any()) {
      if constexpr (Wanted.B) detail::fill_zero(gradients.B);
      if constexpr (Wanted.C) detail::fill_zero(gradients.C);
      using Group = detail::MaterializedGroup<Policy, T>;
      detail::for_each_materialized_group<Policy, T>(
          in, Group::backward_size(work, in.sequences.rows(), in.states(), in.sequences.count()), Bytes,
          workspace,
          [&](const Group& group) { group.template backward<Wanted>(d_out, d_final_state, gradients); });
    }
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
