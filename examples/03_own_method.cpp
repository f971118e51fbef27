// examples/03_own_method.cpp: a method of your own, a learned scale of outputs: y = (1 + s) ∘ W·x.
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;

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
