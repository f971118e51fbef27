// The policy that docs/library.md shows: a check holds that it is the same.
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
  static constexpr bool learns = true;
  static constexpr bool mergeable = true;
  static constexpr bool is_static = true;
  static constexpr std::size_t count(SiteShape shape, AdapterSizes) { return shape.rows; }

  template <class T>
  class Linear {
   public:
    Linear(ParameterStore<T>& store, const SitePlace<T>& place) : base_(place.base) {
      if (place.active) scale_ = store.add(place, ".scale", 1, place.shape.rows);
    }
    bool active() const { return static_cast<bool>(scale_); }
    MatrixView<const T> weight() const { return base_; }  // the layer multiplies by it

    // y (M, rows) += s ∘ W·x: what comes beside that product.
    void forward(MatrixView<const T> x, MatrixView<T> y, const Pass&, Workspace& workspace) const {
      if (!active()) return;
      const Workspace::Scope scope(workspace);
      const MatrixView<T> product = of(x, workspace);
      for (std::size_t i = 0; i < y.rows; ++i) {
        for (std::size_t j = 0; j < y.cols; ++j) y(i, j) += scale_.value(0, j) * product(i, j);
      }
    }
    // Adds to the gradient of s, and to d_x (unless it is empty) what does not come from `weight()`.
    void backward(MatrixView<const T> x, MatrixView<const T> d_y, MatrixView<T> d_x, const Pass&,
                  Workspace& workspace) const {
      if (!active()) return;
      const Workspace::Scope scope(workspace);
      const MatrixView<T> product = of(x, workspace);
      for (std::size_t i = 0; i < d_y.rows; ++i) {
        for (std::size_t j = 0; j < d_y.cols; ++j) scale_.gradient(0, j) += d_y(i, j) * product(i, j);
      }
      if (!d_x) return;
      for (std::size_t i = 0; i < d_y.rows; ++i) {
        for (std::size_t j = 0; j < d_y.cols; ++j) product(i, j) = d_y(i, j) * scale_.value(0, j);
      }
      matmul(d_x, product, base_, Write::Add);
    }
    // target (rows, cols) += sign · what was learned, as weights.
    void add_change(MatrixView<T> target, T sign) const {
      if (!active()) return;
      for (std::size_t i = 0; i < target.rows; ++i) {
        for (std::size_t j = 0; j < target.cols; ++j) target(i, j) += sign * scale_.value(0, i) * base_(i, j);
      }
    }

   private:
    MatrixView<T> of(MatrixView<const T> x, Workspace& workspace) const {
      const MatrixView<T> product(workspace.take<T>(x.rows * base_.rows).data(), x.rows, base_.rows);
      matmul(product, x, transposed(base_));
      return product;
    }
    MatrixView<const T> base_;
    Learned<T> scale_;
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
