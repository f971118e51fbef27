#include <sdlora/layers/mamba/dimensions.hpp>

using namespace sdlora;

namespace {

constexpr MambaDimensions m{10, 2, 19, 3, 20, 16, 4};
static_assert(m.d_model == 10 && m.n_layer == 2 && m.vocab_size == 19 && m.dt_rank == 3);
static_assert(m.d_inner == 20 && m.d_state == 16 && m.d_conv == 4);
static_assert(m.norm_epsilon == 1e-5 && m.mixer_norm_epsilon == 0.0 && m.tied_head && !m.use_bias);

constexpr MambaDimensions biased = [] {
  MambaDimensions result = m;
  result.use_bias = true;
  return result;
}();
static_assert(m == m && m != biased);

}  // namespace
