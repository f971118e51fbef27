#pragma once

#include "../../tensor/matrix_view.hpp"

namespace sdlora {

/// The recurrent state of one block for S sequences: what `forward` continues from and leaves.
template <class T, class D = Cpu>
struct BlockState {
  MatrixView<T, D> window;          // (S, (K − 1)·E)
  MatrixView<T, D> h;               // (S, E·N)
  MatrixView<T, D> of_policy = {};  // (S, what a policy at the scan remembers), mostly absent
};

/// What a block's forward pass keeps for its backward pass. Views into the step's workspace; those
/// that the placement does not need are empty.
template <class T, class D = Cpu>
struct BlockActivations {
  MatrixView<T, D> x;      // (M, d), the block's input
  MatrixView<T, D> xz;     // (M, 2E), in_proj's output
  MatrixView<T, D> u;      // (M, E), the convolution's output
  MatrixView<T, D> x_dbl;  // (M, R + 2N), x_proj's output, before its norms
  MatrixView<T, D> dt;     // (M, E), before bias and softplus
  MatrixView<T, D> y;      // (M, E), the gated scan's output
  // The outputs of those parts of a projection whose policies change them (FusedLinear).
  MatrixView<T, D> in_proj, x_proj, dt_proj, out_proj;
  T* checkpoints = nullptr;  // of the scan, in the device's memory
};

}  // namespace sdlora
