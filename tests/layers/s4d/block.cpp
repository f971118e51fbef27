#include <sdlora/adapters/methods.hpp>
#include <sdlora/layers/s4d/block.hpp>
#include <sdlora/model/deep_s4_base.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>

// What the model's tests do not see; values and gradients are tested there.

using namespace sdlora;

namespace {

constexpr DeepS4Dimensions sizes{.d_model = 3, .n_layer = 1, .d_state = 2};

/// Says that it learns all of log_dt, and shows too little of it.
struct Short : PolicyDefaults {
  static constexpr std::string_view name = "short";
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.size(); }
  template <class T, class D = Cpu>
  class Element : public Full::Element<T, D> {
   public:
    using Full::Element<T, D>::Element;
    MatrixView<const T, D> values() const { return Full::Element<T, D>::values().cols_from(0, 2); }
  };
};

template <class P>
S4dBlock<P, float> block_of(const S4dPlaces<float>& places, ParameterStore<float>& store) {
  return S4dBlock<P, float>(places, store);
}

}  // namespace

TEST_CASE("s4d block: it keeps only what the layers' placement needs") {
  const auto base = DeepS4Base<float>::random(sizes, S4dStart::Lin, 1);
  const S4dWeights<const float> weights = base.layer(0);
  const AdapterOptions options;
  const S4dPlaces<float> places{weights, sizes, 0, options, nullptr};
  Workspace workspace;
  ParameterStore<float> store(1000);
  const auto projection = block_of<Place<On<site::OutProj, LoRA<2>>>>(places, store);
  CHECK(projection.active());
  const auto low = projection.keep(5, false, workspace), high = projection.keep(5, true, workspace);
  CHECK_FALSE(low.u);
  CHECK(low.s.rows == 5);
  CHECK(high.u.cols == 3);
  const auto ssm = block_of<Place<On<site::C, Full>>>(places, store).keep(5, false, workspace);
  CHECK(ssm.u);
  CHECK_FALSE(ssm.s);
  CHECK(block_of<Place<On<site::OutProj, DoRA<2>>>>(places, store).keep(5, false, workspace).out_proj.cols ==
        3);
  const auto bias = block_of<Place<On<site::OutBias, Full>>>(places, store).keep(5, false, workspace);
  CHECK_FALSE(bias.u);
  CHECK_FALSE(bias.s);
  CHECK(bias.y);
  CHECK_FALSE(block_of<Place<>>(places, store).active());
}

TEST_CASE("s4d block: a policy's state of a wrong shape is refused by name") {
  const auto base = DeepS4Base<float>::random(sizes, S4dStart::Lin, 1);
  const S4dWeights<const float> weights = base.layer(0);
  const AdapterOptions options;
  ParameterStore<float> store(1000);
  std::string said;
  try {
    block_of<Place<On<site::LogDt, Short>>>({weights, sizes, 0, options, nullptr}, store);
  } catch (const ShapeError& e) {
    said = e.what();
  }
  CHECK(said.find("layers.0.log_dt") != std::string::npos);
}
