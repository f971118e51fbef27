#pragma once

#include "interface.hpp"
#include "selective_scan.hpp"

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The fused selective scan as a type: what a block scans by unless it is told otherwise. States live in
/// registers; the backward pass computes them again from those kept every 24 rows.
/// Work L·N forward and 2·L·N backward, depth L and 2·L, per channel of a sequence of L rows. Stability: that
/// of the sequential scan. Source: selective_scan_forward, which it calls.
struct Fused {
  static constexpr std::string_view name = "fused";

  static std::size_t checkpoint_size(Sequences sequences, std::size_t E, std::size_t N) {
    return selective_scan_checkpoint_size(sequences, E, N);
  }

  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                      std::type_identity_t<T>* final_state, std::type_identity_t<T>* checkpoints,
                      Workspace& workspace) {
    selective_scan_forward<N>(in, out, final_state, checkpoints, workspace);
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* checkpoints,
                       std::type_identity_t<MatrixView<const T>> d_out,
                       const std::type_identity_t<T>* d_final_state,
                       const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
    selective_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
  }
};

static_assert(SelectiveScan<Fused>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
