#include <sdlora/layers/mamba_weights.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

static_assert(std::is_trivially_copyable_v<MambaWeights<const float>>);
static_assert(std::is_same_v<decltype(MambaWeights<const double>{}.A_log), MatrixView<const double>>);

TEST_CASE("mamba_weights: absent until given") {
  const MambaWeights<float> weights;
  CHECK(!weights.norm);
  CHECK(!weights.in_proj);
  CHECK(!weights.conv);
  CHECK(!weights.conv_bias);
  CHECK(!weights.x_proj);
  CHECK(!weights.dt_proj);
  CHECK(!weights.dt_bias);
  CHECK(!weights.A_log);
  CHECK(!weights.D);
  CHECK(!weights.out_proj);
}
