#pragma once

#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"
#include "selective_scan_arguments.hpp"
#include "selective_scan_reference.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

inline constexpr std::size_t selective_scan_chunk = 32;

/// How many values `selective_scan_forward` saves for the backward pass: one (E, N) state per chunk
/// of each sequence.
inline std::size_t selective_scan_states_size(Sequences sequences, std::size_t E, std::size_t N) {
  std::size_t chunks = 0;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    chunks += (sequences.length(s) + selective_scan_chunk - 1) / selective_scan_chunk;
  }
  return chunks * ((E + 15) / 16 * 16) * N;
}

/// The fused selective scan. Writes `out` (M, E), and where not null the states after the last row of
/// each sequence, `final_state` (S, E, N), and what the backward pass needs, `chunk_states`
/// (selective_scan_states_size values). N is the number of states, or `dyn`.
template <std::size_t N, class T>
void selective_scan_forward(const SelectiveScanInputs<T>& in, std::type_identity_t<MatrixView<T>> out,
                            std::type_identity_t<T>* final_state, std::type_identity_t<T>* chunk_states,
                            Workspace& workspace) {
  (void)chunk_states;
  (void)workspace;
  detail::check_selective_scan_inputs<N>(in);
  selective_scan_reference_forward(in, out, final_state);
}

/// The gradients of the fused selective scan that `Wanted` asks for.
template <std::size_t N, SelectiveScanGradients Wanted, class T>
void selective_scan_backward(const SelectiveScanInputs<T>& in, const std::type_identity_t<T>* chunk_states,
                             std::type_identity_t<MatrixView<const T>> d_out,
                             const std::type_identity_t<T>* d_final_state,
                             const SelectiveScanGradientOutputs<T>& out, Workspace& workspace) {
  (void)chunk_states;
  (void)workspace;
  detail::check_selective_scan_inputs<N>(in);
  selective_scan_reference_backward(in, d_out, d_final_state, Wanted, out);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
