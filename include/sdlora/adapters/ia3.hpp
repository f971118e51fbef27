#pragma once

#include "../tensor/column_sums.hpp"
#include "policy.hpp"

namespace sdlora {

/// (IA)³ (Liu et al., arXiv 2205.05638) on a linear site's outputs: y = l ∘ W·x, l (1, out) at first ones.
/// Weight decay leaves l alone: zero is not where it comes from.
struct IA3 : PolicyDefaults {
  static constexpr std::string_view name = "ia3";
  static constexpr bool reads_input = false;
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.rows; }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      l_ = store.add(place, ".ia3_l", 1, place.rows(), {.decay = false});
      assign(l_.value, 1);
    }
    bool active() const { return static_cast<bool>(l_); }
    FrozenWeight<T, D> weight() const { return base_; }

    /// y (M, out) = l ∘ y; `kept` is y as it was.
    void forward(View, Matrix y, Matrix kept, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      if (kept) assign(kept, y);
      assign<AssignMode::Multiply>(y, l_.value);
    }
    /// d_y (M, out), of l ∘ y, becomes that of y.
    void output_backward(View kept, Matrix d_y, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      assign_column_sums<AssignMode::Add>(l_.gradient, d_y * kept);
      assign<AssignMode::Multiply>(d_y, l_.value);
    }
    /// target (out, in) += sign · (l − 1) ∘ W.
    void add_change(Matrix target, T sign) const {
      if (!active()) return;
      const View column(l_.value.data, base_.rows, 1);
      base_.visit(
          [&](const auto& w) { assign<AssignMode::Add>(target, sign * (column - T(1)) * values_of(w)); });
    }

   private:
    FrozenWeight<T, D> base_;
    Learned<T, D> l_;
  };
};

static_assert(AdapterPolicy<IA3>);

}  // namespace sdlora
