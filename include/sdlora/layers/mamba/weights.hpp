#pragma once

#include "../../tensor/matrix_view.hpp"

namespace sdlora {

/// The pre-trained values of one block, as views: of a Base, of a merged copy, of a mapped file.
/// `Element` is `const T` for reading and `T` for building.
template <class Element>
struct MambaWeights {
  MatrixView<Element> norm;       // (1, d)
  MatrixView<Element> in_proj;    // (2E, d): x, then z
  MatrixView<Element> conv;       // (E, K)
  MatrixView<Element> conv_bias;  // (1, E)
  MatrixView<Element> x_proj;     // (R + 2N, E): dt, then B, then C
  MatrixView<Element> dt_proj;    // (E, R)
  MatrixView<Element> dt_bias;    // (1, E)
  MatrixView<Element> A_log;      // (E, N)
  MatrixView<Element> D;          // (1, E)
  MatrixView<Element> out_proj;   // (d, E)
};

/// The recurrent state of one block for S sequences: what `forward` continues from and leaves.
template <class T>
struct BlockState {
  T* window = nullptr;  // (S, K − 1, E)
  T* h = nullptr;       // (S, E, N)
};

}  // namespace sdlora
