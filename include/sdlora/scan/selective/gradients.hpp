#pragma once

#include "../../version.hpp"

namespace sdlora {

/// Which part of A's gradient is computed.
enum class AGradient {
  None,
  SelectedChannels,  ///< rows of the listed channels only: costs in proportion to the vectors they touch
  All
};

/// Which gradients a backward pass computes. What is not asked for is not compiled.
struct SelectiveScanGradients {
  bool u = false, dt = false, B = false, C = false, z = false;
  AGradient A = AGradient::None;
  bool D = false, dt_bias = false, initial_state = false;

  static constexpr SelectiveScanGradients all() {
    return {true, true, true, true, true, AGradient::All, true, true, true};
  }
  friend constexpr bool operator==(const SelectiveScanGradients&, const SelectiveScanGradients&) = default;
};

}  // namespace sdlora
