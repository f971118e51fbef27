#pragma once

#include "../../tensor/frozen_weight.hpp"
#include "../../tensor/matrix_view.hpp"

namespace sdlora {

/// The pre-trained values of one block, as views: of a Base, of a merged copy, of a mapped file.
/// `Element` is `const T` for reading and `T` for building. To be read, the matrices of products may be
/// stored in another type.
template <class Element, class Device = Cpu>
struct MambaWeights {
  MatrixView<Element, Device> norm;       // (1, d)
  WeightView<Element, Device> in_proj;    // (2E, d): x, then z
  MatrixView<Element, Device> conv;       // (E, K)
  MatrixView<Element, Device> conv_bias;  // (1, E)
  WeightView<Element, Device> x_proj;     // (R + 2N, E): dt, then B, then C
  WeightView<Element, Device> dt_proj;    // (E, R)
  MatrixView<Element, Device> dt_bias;    // (1, E)
  MatrixView<Element, Device> A_log;      // (E, N)
  MatrixView<Element, Device> D;          // (1, E)
  WeightView<Element, Device> out_proj;   // (d, E)
  // Absent unless the model has them; they never learn.
  MatrixView<Element, Device> in_proj_bias = {};   // (1, 2E)
  MatrixView<Element, Device> out_proj_bias = {};  // (1, d)
};

}  // namespace sdlora
