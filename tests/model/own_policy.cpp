// The policy of examples/03_own_method.cpp: a check holds that it is the same.
#include "support/gradient_check.hpp"
#include "support/placements.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct OutputScale : PolicyDefaults {
  static constexpr std::string_view name = "output_scale";  // in adapter files
  static constexpr bool reads_input = false;                // backward has no use for x
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.rows; }
  template <class T, class D = Cpu>  // what learns at one linear site of one layer, on any device
  struct Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base(place.base) {
      if (place.active) s = store.add(place, ".scale", 1, place.rows());  // zeros
    }
    bool active() const { return static_cast<bool>(s); }
    FrozenWeight<T, D> weight() const { return base; }  // the layer multiplies by it
    // y (M, rows) holds W·x; `kept`, where backward follows, keeps it.
    void forward(View, Matrix y, Matrix kept, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      if (kept) assign(kept, y);
      assign<AssignMode::Multiply>(y, s.value + T(1));
    }
    // Adds to the gradient of s; d_y becomes the gradient of W·x, from which the layer goes on.
    void output_backward(View kept, Matrix d_y, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      assign_column_sums<AssignMode::Add>(s.gradient, d_y * kept);
      assign<AssignMode::Multiply>(d_y, s.value + T(1));
    }
    // target (rows, cols) += sign · what was learned, as weights.
    void add_change(Matrix target, T sign) const {
      const View column(s.value.data, base.rows, 1);
      if (!active()) return;
      base.visit([&](const auto& w) { assign<AssignMode::Add>(target, sign * column * values_of(w)); });
    }
    FrozenWeight<T, D> base;  // of the stored type that the base has
    Learned<T, D> s;          // and its gradient
  };
};

using Scaled = Place<On<site::OutProj, OutputScale>, On<site::InProjX, OutputScale>>;

}  // namespace

TEST_CASE("a policy of a user's own: gradients") { check_placement_gradients<Scaled>(); }

TEST_CASE("a policy of a user's own: merged weights are the same function") {
  const auto model = stirred_model<Scaled>(tiny_dimensions, some_options());
  const Batch batch = some_batch({33, 5});
  MambaModel<Tiny, presets::NothingTrains, double> plain(model.merged());
  auto learned = stirred_model<Scaled>(tiny_dimensions, some_options());
  const auto expected = learned.logits(batch);
  const auto found = plain.logits(batch);
  CHECK(relative_norm(std::span<const double>(found.data(), found.size()),
                      std::span<const double>(expected.data(), expected.size())) < 1e-12);
}
