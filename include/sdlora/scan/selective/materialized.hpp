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
  static_assert(
      detail::NamedPolicy<Policy>,
      "sdlora::Materialized: takes a scan policy: one of the menu, such as SimdChannels or Blelloch, or "
      "on devices that run kernels BlockScan");
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
    check_policy();
    detail::check_selective_scan_inputs<N>(in);
    detail::matrix_checks(in).check_out(in, out);
    const MatrixView<T> last = states(final_state, in, in.channels() * in.states());
    detail::materialized_forward<Policy>(views(in), out, last, Bytes, workspace);
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* /*checkpoints*/,
                       std::type_identity_t<MatrixView<const T>> d_out,
                       const std::type_identity_t<T>* d_final_state,
                       const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
    check_policy();
    detail::check_selective_scan_inputs<N>(in);
    detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
    const std::size_t E = in.channels(), N_ = in.states(), selected = gradients.channels.size();
    const detail::MaterializedGradients<T, Cpu> to{
        gradients.u,
        gradients.dt,
        gradients.B,
        gradients.C,
        gradients.z,
        {gradients.A, Wanted.A == AGradient::All ? E : selected, N_},
        gradients.channels,
        {gradients.D, 1, E},
        {gradients.dt_bias, 1, E},
        states(gradients.initial_state, in, gradients.initial_stride)};
    detail::materialized_backward<Policy, Wanted>(views(in), d_out, states(d_final_state, in, E * N_), to,
                                                  Bytes, workspace);
  }

 private:
  static constexpr void check_policy() {
    static_assert(
        ScanPolicy<Policy>,
        "sdlora::Materialized: this policy scans in the memory of devices that run kernels, but the call "
        "is for the Cpu; choose one of the menu, such as SimdChannels or Blelloch");
  }
  template <class T>
  static detail::MaterializedInputs<T, Cpu> views(const SelectiveScanInputs<T>& in) {
    return {in.sequences,
            in.u,
            in.dt,
            in.B,
            in.C,
            in.z,
            in.A,
            {in.D, 1, in.channels()},
            {in.dt_bias, 1, in.channels()},
            states(in.initial_state, in, in.initial_stride)};
  }
  template <class V, class T>
  static MatrixView<V> states(V* values, const SelectiveScanInputs<T>& in, std::size_t stride) {
    return {values, in.sequences.count(), in.channels() * in.states(), stride};
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
