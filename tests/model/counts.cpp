// What `trainable_parameters` says and what the store of a built model has; policies of one's own that
// disagree.
#include "support/tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>

#include <doctest/doctest.h>

#include <string_view>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Says that five values more learn than do.
struct CountsFiveMore : Full {
  static constexpr std::string_view name = "counts_five_more";
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.size() + 5; }
};

/// Learns as Full does, but shows a gradient, or values, of one row of four.
template <bool OfGradient>
struct Misshapen : Full {
  static constexpr std::string_view name = "misshapen";
  template <class T, class D = Cpu>
  class Element : public Full::Element<T, D> {
   public:
    using Full::Element<T, D>::Element;
    MatrixView<const T, D> values() const {
      const MatrixView<const T, D> own = Full::Element<T, D>::values();
      return OfGradient || !this->active() ? own : MatrixView<const T, D>(own.data, 1, 4);
    }
    MatrixView<T, D> gradient() const {
      const MatrixView<T, D> own = Full::Element<T, D>::gradient();
      return OfGradient && this->active() ? MatrixView<T, D>(own.data, 1, 4) : own;
    }
  };
};

template <class P>
auto tiny_model(const AdapterOptions& options = some_options()) {
  return make_model<P, Tiny, float>(
      std::shared_ptr<const Base<Tiny, float>>(rough_base<Tiny, float>(tiny_dimensions)), options);
}

}  // namespace

TEST_CASE("counts: states left open are counted as the options say") {
  using ALog = Place<On<site::ALog, SelectedDimensions<3>>>;
  using Mixed = Place<On<site::ALog, SelectedDimensions<3>>, On<site::XProjB, SelectedDimensions<3>>>;
  const auto a_log = tiny_model<ALog>();
  CHECK(a_log.trainable_parameters == 2 * 3 * 2);
  CHECK(a_log.parameters().size() == a_log.trainable_parameters);
  const auto mixed = tiny_model<Mixed>();
  CHECK(mixed.trainable_parameters == 2 * (3 * 2 + 16 * 3));
  CHECK(mixed.parameters().size() == mixed.trainable_parameters);
  const auto preset = tiny_model<presets::SDLoRA<2, 3>>();
  CHECK(preset.trainable_parameters == tiny_model<presets::SDLoRA<2, 3, 2>>().trainable_parameters);
  CHECK(preset.parameters().size() == preset.trainable_parameters);
}

TEST_CASE("counts: a constant counts every layer; layer ranges leave less in the store") {
  AdapterOptions options = some_options();
  options.layers = {{"out_proj", 0, 1}};
  const auto narrowed = tiny_model<Place<On<site::OutProj, LoRA<2>>>>(options);
  static_assert(decltype(narrowed)::trainable_parameters == 2 * 2 * (10 + 20));
  CHECK(narrowed.parameters().size() == 2 * (10 + 20));
  CHECK(narrowed.parameters().capacity() == narrowed.parameters().size());
}

TEST_CASE("counts: a policy that learns fewer values than it counts is refused") {
  AdapterOptions options = some_options();
  using Padded = Place<On<site::ConvBias, CountsFiveMore>, On<site::D, Full>>;
  CHECK_THROWS_WITH_AS(
      tiny_model<Padded>(options),
      doctest::Contains("site conv_bias: expected 50 values to learn as policy counts_five_more "
                        "counts, found 40"),
      ShapeError);
  options.layers = {{"conv_bias", 1, 2}};
  CHECK_THROWS_WITH_AS(tiny_model<Padded>(options), doctest::Contains("expected 25 values"), ShapeError);
  using OnModel = Place<On<site::NormF, CountsFiveMore>>;
  CHECK_THROWS_WITH_AS(tiny_model<OnModel>(), doctest::Contains("site norm_f: expected 15 values"),
                       ShapeError);
}

TEST_CASE("counts: a policy whose values or gradient are not of the site's shape is refused") {
  const auto refuses = []<class S>(S, const char* text) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS((tiny_model<Place<On<S, Misshapen<true>>>>()), doctest::Contains(text), ShapeError);
    CHECK_THROWS_WITH_AS((tiny_model<Place<On<S, Misshapen<false>>>>()), doctest::Contains(text), ShapeError);
  };
  refuses(site::ConvBias{}, "layers.0.conv_bias: expected values and a gradient (1, 20), found ");
  refuses(site::ALog{}, "layers.0.A_log: expected values and a gradient (20, 16), found ");
  refuses(site::H0{}, "layers.0.h0: ");
  refuses(site::Norm{}, "layers.0.norm: ");
  refuses(site::NormF{}, "norm_f: expected values and a gradient (1, 10)");
  refuses(site::Embedding{}, "embedding: ");
  // Not so where it does not learn.
  AdapterOptions options = some_options();
  options.layers = {{"conv_bias", 1, 2}};
  CHECK_THROWS_WITH_AS((tiny_model<Place<On<site::ConvBias, Misshapen<true>>>>(options)),
                       doctest::Contains("layers.1.conv_bias"), ShapeError);
}
