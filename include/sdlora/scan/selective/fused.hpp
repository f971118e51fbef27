#pragma once

#include "interface.hpp"
#include "selective_scan.hpp"

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The fused selective scan as a type: what a block scans by unless it is told otherwise. States live in
/// registers; the backward pass computes them again from some that are kept.
/// Work L·N forward and 2·L·N backward, depth L and 2·L, per channel of a sequence of L rows. Stability: that
/// of the sequential scan. Source: selective_scan_forward, which it calls.
struct Fused {
  static constexpr std::string_view name = "fused";

  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences& sequences, std::size_t E, std::size_t N) {
    return selective_scan_checkpoint_size<Device>(sequences, E, N);
  }

  template <std::size_t N, class T, class Device>
  static void forward(const SelectiveScanInputs<T, Device>& in,
                      std::type_identity_t<MatrixView<T, Device>> out,
                      std::type_identity_t<MatrixView<ScanState<T>, Device>> final_state,
                      std::type_identity_t<ScanState<T>>* checkpoints, WorkspaceOn<Device>& workspace) {
    selective_scan_forward<N>(in, out, final_state, checkpoints, workspace);
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T, class Device>
  static void backward(const SelectiveScanInputs<T, Device>& in,
                       const std::type_identity_t<ScanState<T>>* checkpoints,
                       std::type_identity_t<MatrixView<const T, Device>> d_out,
                       std::type_identity_t<MatrixView<const ScanState<T>, Device>> d_final_state,
                       const SelectiveScanGradientOutputs<T, Device>& gradients,
                       WorkspaceOn<Device>& workspace) {
    selective_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
  }
};

static_assert(SelectiveScan<Fused>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
