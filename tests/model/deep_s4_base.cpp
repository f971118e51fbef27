#include <sdlora/model/deep_s4_base.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <utility>

using namespace sdlora;

TEST_CASE("deep S4 base: tensors fill its values, layer after layer, then the head") {
  const DeepS4Dimensions m{.d_model = 5, .n_layer = 2, .d_state = 3, .outputs = 4};
  DeepS4Base<float> base(m);
  CHECK(base.values().size() == total_parameters(m));
  CHECK(base.layer(0).log_A_real.data == base.values().data());
  CHECK(base.layer(0).A_imag.data == base.values().data() + 15);
  const S4dWeights<float> last = base.layer(1);
  CHECK(last.out_proj_bias.data + 5 == base.head().weight.data);
  CHECK(base.head().bias.data + 4 == base.values().data() + base.values().size());
  last.C(4, 5) = 2.0F;
  CHECK(std::as_const(base).layer(1).C(4, 5) == 2.0F);
  const DeepS4Base<float> copy = base;
  CHECK(copy.layer(1).C.data != last.C.data);
  CHECK(copy.layer(1).C(4, 5) == 2.0F);
}

TEST_CASE("deep S4 base: no head, or a random one; sizes of zero are refused") {
  DeepS4Dimensions m{.d_model = 5, .n_layer = 1, .d_state = 3};
  CHECK_FALSE(DeepS4Base<float>(m).head().weight);
  m.outputs = 3;
  const auto base = DeepS4Base<float>::random(m, S4dStart::Inv, 9);
  for (std::size_t i = 0; i < 15; ++i) {
    CHECK(base.head().weight.data[i] != 0.0F);
    CHECK(std::abs(base.head().weight.data[i]) <= 1.0F / std::sqrt(5.0F));
  }
  CHECK(base.head().bias(0, 2) != 0.0F);
  m.d_state = 0;
  CHECK_THROWS_AS(DeepS4Base<float>{m}, ArgumentError);
}
