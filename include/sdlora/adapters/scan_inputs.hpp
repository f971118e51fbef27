#pragma once

#include "../tensor/device.hpp"
#include "../tensor/matrix_view.hpp"

namespace sdlora {

/// What a policy at the scan sees, or, of `T` that is not const, the gradients that it adds to: empty where
/// they are not wanted. dt is the one before bias and softplus.
template <class T, class Device = Cpu>
struct ScanInputs {
  MatrixView<T, Device> u = {}, dt = {};  ///< (M, E)
  MatrixView<T, Device> B = {}, C = {};   ///< (M, N)
};

/// Which of them.
struct ScanReads {
  bool u = false, dt = false, B = false, C = false;
};

}  // namespace sdlora
