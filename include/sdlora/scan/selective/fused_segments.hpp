#pragma once

#include "interface.hpp"
#include "segments.hpp"

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The fused selective scan with time cut into segments of about `Rows` rows, as a type, on the `Cpu`: for
/// blocks of few channels on many threads. Results depend on `Rows`, within rounding, but not on the number
/// of threads. Work up to twice that of `Fused`, depth 2·Rows + L / Rows forward and twice that backward, per
/// channel of a sequence of L rows. Stability: that of the sequential scan where A ≤ 0. Source:
/// selective_scan_forward_segments, which it calls.
template <std::size_t Rows>
struct FusedSegments {
  static_assert(Rows > 0, "sdlora::FusedSegments: Rows, the rows of a segment, must be positive");
  static constexpr std::string_view name = "fused_segments";

  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences& sequences, std::size_t E, std::size_t N) {
    return selective_scan_checkpoint_size<Device>(sequences, E, N);
  }

  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                      std::type_identity_t<MatrixView<T>> final_state, std::type_identity_t<T>* checkpoints,
                      Workspace& workspace) {
    selective_scan_forward_segments<N>(in, Rows, out, final_state, checkpoints, workspace);
  }

  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* checkpoints,
                       std::type_identity_t<MatrixView<const T>> d_out,
                       std::type_identity_t<MatrixView<const T>> d_final_state,
                       const SelectiveScanGradientOutputs<T>& gradients, Workspace& workspace) {
    selective_scan_backward_segments<N, Wanted>(in, Rows, checkpoints, d_out, d_final_state, gradients,
                                                workspace);
  }
};

static_assert(SelectiveScan<FusedSegments<256>>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
