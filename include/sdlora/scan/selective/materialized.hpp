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

  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences& /*sequences*/, std::size_t /*E*/, std::size_t /*N*/) {
    return 0;
  }

  template <std::size_t N, class T, class Device>
  static void forward(const SelectiveScanInputs<T, Device>& in,
                      std::type_identity_t<MatrixView<T, Device>> out,
                      std::type_identity_t<MatrixView<ScanState<T>, Device>> final_state,
                      std::type_identity_t<ScanState<T>>* /*checkpoints*/, WorkspaceOn<Device>& workspace) {
    check_call<T, Device>();
    detail::check_selective_scan_inputs<N>(in);
    detail::matrix_checks(in).check_out(in, out);
    detail::check_final_states("the final state", in, final_state);
    detail::materialized_forward<Policy>(in, out, final_state, Bytes, workspace);
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T, class Device>
  static void backward(const SelectiveScanInputs<T, Device>& in,
                       const std::type_identity_t<ScanState<T>>* /*checkpoints*/,
                       std::type_identity_t<MatrixView<const T, Device>> d_out,
                       std::type_identity_t<MatrixView<const ScanState<T>, Device>> d_final_state,
                       const SelectiveScanGradientOutputs<T, Device>& gradients,
                       WorkspaceOn<Device>& workspace) {
    check_call<T, Device>();
    detail::check_selective_scan_inputs<N>(in);
    detail::check_selective_scan_gradients(in, d_out, Wanted, gradients);
    detail::check_final_states("the gradient of the final state", in, d_final_state);
    detail::materialized_backward<Policy, Wanted>(in, d_out, d_final_state, gradients, Bytes, workspace);
  }

 private:
  template <class T, class Device>
  static constexpr void check_call() {
    static_assert(!std::is_same_v<T, BFloat16>,
                  "sdlora::Materialized: its steps are expressions, which hold float or double; Fused reads "
                  "bfloat16");
    if constexpr (is_host<Device>) {
      static_assert(
          ScanPolicy<Policy>,
          "sdlora::Materialized: this policy scans in the memory of devices that run kernels, but the "
          "call is for the Cpu; choose one of the menu, such as SimdChannels or Blelloch");
    } else {
      static_assert(KernelScanPolicy<Policy, Device>,
                    "sdlora::Materialized: this policy does not scan in the memory of the call's device; "
                    "BlockScan does on each that runs kernels, once the device's header is included");
    }
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
