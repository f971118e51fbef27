#pragma once

#include "../../tensor/device.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../../tensor/workspace.hpp"
#include "arguments.hpp"

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

namespace sdlora {

/// What a block asks of the way it scans on `Device`: an empty type with a `name`, and all static
///   checkpoint_size<Device>(sequences, E, N)   how many values `forward` saves for `backward`
///   forward<N>(in, out, final_state, checkpoints, workspace)
///   backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace)
/// with the arguments, the results and the errors of selective_scan_forward and selective_scan_backward
/// (selective_scan.hpp). N is the number of states, or `dyn`. `checkpoints` are those of the same type's
/// forward pass. `Fused`, `FusedSegments` and `Materialized` are such types.
template <class S, class Device = Cpu>
concept SelectiveScan =
    std::is_empty_v<S> && std::semiregular<S> &&
    requires(const Sequences& sequences, const SelectiveScanInputs<float, Device>& in,
             MatrixView<float, Device> values, MatrixView<const float, Device> read, float* checkpoints,
             const SelectiveScanGradientOutputs<float, Device>& gradients, WorkspaceOn<Device>& workspace) {
      { S::name } -> std::convertible_to<std::string_view>;
      {
        S::template checkpoint_size<Device>(sequences, std::size_t{}, std::size_t{})
      } -> std::same_as<std::size_t>;
      S::template forward<dyn>(in, values, values, checkpoints, workspace);
      S::template backward<dyn, SelectiveScanGradients::all()>(in, checkpoints, read, read, gradients,
                                                               workspace);
    };

}  // namespace sdlora
