#pragma once

#include "../../tensor/extents.hpp"
#include "../../tensor/workspace.hpp"
#include "arguments.hpp"

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {

/// What a block asks of the way it scans: an empty type with a `name`, and all static
///   checkpoint_size(sequences, E, N)     how many values `forward` saves for `backward`
///   forward<N>(in, out, final_state, checkpoints, workspace)
///   backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace)
/// with the arguments, the results and the errors of selective_scan_forward and selective_scan_backward
/// (selective_scan.hpp). N is the number of states, or `dyn`. `checkpoints` are those of the same type's
/// forward pass. `Fused`, `FusedSegments` and `Materialized` are such types.
template <class S>
concept SelectiveScan =
    std::is_empty_v<S> && std::semiregular<S> &&
    requires(const SelectiveScanInputs<float>& in, MatrixView<float> out, MatrixView<const float> d_out,
             float* values, const float* read, const SelectiveScanGradientOutputs<float>& gradients,
             Workspace& workspace) {
      { S::name } -> std::convertible_to<std::string_view>;
      { S::checkpoint_size(in.sequences, std::size_t{}, std::size_t{}) } -> std::same_as<std::size_t>;
      S::template forward<dyn>(in, out, values, values, workspace);
      S::template backward<dyn, SelectiveScanGradients::all()>(in, read, d_out, read, gradients, workspace);
    };

}  // namespace sdlora
