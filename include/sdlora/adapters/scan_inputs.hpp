#pragma once

#include "../tensor/device.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/sequences.hpp"

namespace sdlora {

/// What a policy at the scan sees, or, of `T` that is not const, the gradients that it adds to: empty where
/// they are not wanted. dt is the one before bias and softplus.
template <class T, class Device = Cpu>
struct ScanInputs {
  MatrixView<T, Device> u = {}, dt = {};  ///< (M, E)
  MatrixView<T, Device> B = {}, C = {};   ///< (M, N)
  MatrixView<T, Device> dt_bias = {};     ///< (1, E)
};

/// What a policy at the scan that remembers is told of the rows: how they fall into sequences; what it
/// remembers of each before them, (S, remembered), absent: nothing yet; and where that after them goes,
/// unless absent.
template <class T, class Device = Cpu>
struct ScanMemory {
  const SequencesOn<Device>& sequences;
  MatrixView<const T, Device> before = {};
  MatrixView<T, Device> after = {};
};

/// Which ScanInputs a backward pass reads. It always has dt_bias, which costs nothing.
struct ScanReads {
  bool u = false, dt = false, B = false, C = false;
};

}  // namespace sdlora
