#include <sdlora/adapters/lora.hpp>
#include <sdlora/layers/mamba/places.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

TEST_CASE("mamba_places: a site is told its name, layer, shape, range and base") {
  MambaDimensions m;
  m.d_model = 8;
  m.n_layer = 5;
  m.d_inner = 16;
  m.dt_rank = 3;
  m.d_state = 4;
  m.d_conv = 4;
  std::vector<float> values(32 * 16, 1.0F);
  MambaWeights<const float> weights;
  weights.in_proj = MatrixView<float>(values.data(), 32, 8);
  weights.out_proj = MatrixView<float>(values.data() + 256, 8, 16);
  weights.A_log = {values.data(), 16, 4};
  const AdapterOptions options{LoRAOptions{.rank = 5}, Layers<site::OutProj>{0, 3}};
  const LayerSelection selection{{1, 2}, {0, 3}};
  const MambaPlaces<float> places{weights, m, 3, options, &selection};

  const SitePlace<float> out = places.at<site::OutProj>();
  CHECK(out.name == "layers.3.out_proj");
  CHECK(out.site.name == "out_proj");
  CHECK(out.site.kind == SiteKind::Linear);
  CHECK(out.layer == 3);
  CHECK_FALSE(out.active);
  CHECK(out.base.data == values.data() + 256);
  CHECK(out.rows() == 8);
  CHECK(out.cols() == 16);
  CHECK(out.decay);
  CHECK(options_of<LoRA<>>(out).rank == 5);
  CHECK(options_of<LoRA<3>>(out).rank == 3);
  CHECK(out.selection == &selection);

  const SitePlace<float> a_log = places.at<site::ALog>();
  CHECK(a_log.active);
  CHECK_FALSE(a_log.decay);
  CHECK(a_log.rows() == 16);
  CHECK(a_log.cols() == 4);

  const SitePlace<float> gate = places.at<site::InProjZ>();  // the lower half of in_proj
  CHECK(gate.base.data == values.data() + 16 * 8);
  CHECK(gate.base.rows == 16);
  CHECK(gate.base.cols == 8);
  const SitePlace<float> prefix = places.at<site::Prefix>();
  CHECK_FALSE(prefix.base);
  CHECK(prefix.decay);
  CHECK(prefix.cols() == 16);
}
