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

struct OutputScale {
  static constexpr std::string_view name = "output_scale";  // in adapter files
  static constexpr bool learns = true, mergeable = true, is_static = true;
  static constexpr std::size_t count(SiteShape shape, AdapterSizes) { return shape.rows; }
  template <class T, class D = Cpu>  // what learns at one linear site of one layer, on any device
  struct Linear {
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (place.active) scale_ = store.add(place, ".scale", 1, place.shape.rows);  // zeros
    }
    bool active() const { return static_cast<bool>(scale_); }
    MatrixView<const T, D> weight() const { return base_; }  // the layer multiplies by it
    // y (M, rows) += s ∘ W·x: what comes beside that product.
    void forward(MatrixView<const T, D> x, MatrixView<T, D> y, const Pass&, WorkspaceOn<D>& memory) const {
      const WorkspaceScope scope(memory);
      if (active()) assign<AssignMode::Add>(y, scale_.value * product_of(x, memory));
    }
    // Adds to the gradient of s, and to d_x (unless it is empty) what does not come from `weight()`.
    void backward(MatrixView<const T, D> x, MatrixView<const T, D> d_y, MatrixView<T, D> d_x, const Pass&,
                  WorkspaceOn<D>& memory) const {
      if (!active()) return;
      const WorkspaceScope scope(memory);
      const MatrixView<T, D> product = product_of(x, memory);
      assign_column_sums<AssignMode::Add>(scale_.gradient, d_y * product);
      if (!d_x) return;
      assign(product, d_y * scale_.value);
      matmul(d_x, product, base_, Write::Add);
    }
    // target (rows, cols) += sign · what was learned, as weights.
    void add_change(MatrixView<T, D> target, T sign) const {
      const MatrixView<const T, D> column(scale_.value.data, base_.rows, 1);
      if (active()) assign<AssignMode::Add>(target, sign * column * base_);
    }
    MatrixView<const T, D> base_;
    Learned<T, D> scale_;  // and its gradient
    MatrixView<T, D> product_of(MatrixView<const T, D> x, WorkspaceOn<D>& memory) const {
      const MatrixView<T, D> product = memory.template matrix<T>(x.rows, base_.rows);
      matmul(product, x, transposed(base_));
      return product;
    }
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
