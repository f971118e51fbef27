#pragma once

#include "../../version.hpp"

#include <cstddef>

namespace sdlora {

/// The sizes of a Mamba language model, all known.
struct MambaDimensions {
  std::size_t d_model = 0;  ///< d
  std::size_t n_layer = 0;
  std::size_t vocab_size = 0;  ///< V
  std::size_t dt_rank = 0;     ///< R
  std::size_t d_inner = 0;     ///< E
  std::size_t d_state = 0;     ///< N
  std::size_t d_conv = 0;      ///< K
  double norm_epsilon = 1e-5;
  double mixer_norm_epsilon = 0.0;  ///< 0: no norms of dt, B and C
  bool tied_head = true;            ///< false: the head (V, d) has values of its own
  bool use_bias = false;            ///< whether in_proj and out_proj have biases, which never learn

  friend bool operator==(const MambaDimensions&, const MambaDimensions&) = default;
};

}  // namespace sdlora
