#pragma once

#include "../../tensor/matrix_view.hpp"
#include "plan.hpp"

#include <cstdint>

namespace sdlora {

/// Pointers into device memory; rows of matrices may be further apart than they are long.
/// IO is float or BFloat16; states and everything that is summed over time are float.
template <class IO>
struct KernelScanInputs {
  MatrixView<const IO> u;                 ///< (M, E)
  MatrixView<const IO> dt;                ///< (M, E) before bias and softplus
  MatrixView<const IO> z;                 ///< (M, E); absent: no gate
  MatrixView<const IO> B;                 ///< (M, N)
  MatrixView<const IO> C;                 ///< (M, N)
  const float* A = nullptr;               ///< (E, N), negative
  const float* D = nullptr;               ///< (E), or null
  const float* dt_bias = nullptr;         ///< (E), or null
  const float* initial_state = nullptr;   ///< (S, E, N), or null for zero
  const std::int64_t* offsets = nullptr;  ///< (S + 1): sequence s owns rows [offsets[s], offsets[s + 1])
};

/// What a forward writes, in device memory.
template <class IO>
struct KernelScanOutputs {
  MatrixView<IO> out;            ///< (M, E)
  float* final_state = nullptr;  ///< (S, E, N), or null
  /// KernelScanPlan::checkpoint_floats() values, aligned to 16 bytes, or null without a backward.
  float* checkpoints = nullptr;
};

/// What comes back from a backward; only those asked for are written, overwriting what was
/// there.
template <class IO>
struct KernelScanGradientOutputs {
  MatrixView<IO> u;                ///< (M, E)
  MatrixView<IO> dt;               ///< (M, E)
  MatrixView<IO> z;                ///< (M, E)
  MatrixView<IO> B;                ///< (M, N)
  MatrixView<IO> C;                ///< (M, N)
  float* A = nullptr;              ///< (E, N), or (selected_count, N) for AGradient::SelectedChannels
  float* D = nullptr;              ///< (E)
  float* dt_bias = nullptr;        ///< (E)
  float* initial_state = nullptr;  ///< (S, E, N)
  /// For AGradient::SelectedChannels: ascending channels, in device memory as all else, and how many.
  const int* selected = nullptr;
  int selected_count = 0;
};

}  // namespace sdlora
