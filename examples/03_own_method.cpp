// examples/03_own_method.cpp: a method of your own, (IA)³ on outputs: y = (1 + s) ∘ W·x, where s learns.
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;

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
static_assert(AdapterPolicy<OutputScale>);

int main() {
  using Model = MambaModel<presets::AnyMamba, Place<On<site::OutProj, OutputScale>>>;
  Model model{load_base<presets::AnyMamba>(SDLORA_SOURCE_DIR "/examples/base")};
  const auto ids = ByteTokenizer{}.encode("It is placed, trained and merged as the built-in methods are.");
  const std::vector<Example> data{{ids, ids}};
  const auto report = Trainer{model, {.steps = 20, .learning_rate = 0.02, .progress = false}}.fit(data);
  const double before = report.losses.front(), trained = evaluate_loss(model, data).mean();
  const double merged = evaluate_loss(Model{model.merged()}, data).mean();  // as plain weights
  std::cout << "loss " << before << ", trained " << trained << ", merged " << merged << '\n';
  return trained < 0.8 * before && std::abs(merged - trained) < 1e-3 ? 0 : 1;
}
