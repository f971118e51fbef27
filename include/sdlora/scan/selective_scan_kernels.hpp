#pragma once

#include "../tensor/matrix_view.hpp"
#include "selective_scan_plan.hpp"

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
  const float* initial = nullptr;         ///< (S, E, N), or null for zero
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

/// What comes back from a backward; only the members that its mask names are written, overwriting what was
/// there.
template <class IO>
struct KernelScanGradients {
  MatrixView<IO> d_u;          ///< (M, E)
  MatrixView<IO> d_dt;         ///< (M, E)
  MatrixView<IO> d_z;          ///< (M, E)
  MatrixView<IO> d_B;          ///< (M, N)
  MatrixView<IO> d_C;          ///< (M, N)
  float* d_A = nullptr;        ///< (E, N), or (selected_count, N) with the bit A_selected
  float* d_D = nullptr;        ///< (E)
  float* d_dt_bias = nullptr;  ///< (E)
  float* d_initial = nullptr;  ///< (S, E, N)
  /// With A_selected: ascending channels, in device memory as all else, and how many.
  const int* selected = nullptr;
  int selected_count = 0;
};

}  // namespace sdlora
