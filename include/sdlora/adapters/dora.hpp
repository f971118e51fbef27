#pragma once

#include "../tensor/column_sums.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/reduce.hpp"
#include "low_rank.hpp"

#include <cstddef>
#include <utility>

namespace sdlora {

/// What DoRA leaves open.
struct DoRAOptions {
  static constexpr std::string_view name = "dora";

  std::size_t rank = 8;
  double alpha = 0.0;        ///< the scale is alpha / rank; 0 means alpha = rank
  double dropout = 0.0;      ///< probability, on the input of A, while training
  double rate_ratio = 1.0;   ///< B's learning rate by A's, as LoRA+ has it
  bool detach_norm = false;  ///< take the norm as a constant in backward, as peft does (section 4.3)

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    LoRAOptions usual;
    LoRAOptions::visit(usual, [&](const Setting& setting, const auto&) {
      if (setting.name == "rank") visit(setting, self.rank);
      if (setting.name == "alpha") visit(setting, self.alpha);
      if (setting.name == "dropout") visit(setting, self.dropout);
      if (setting.name == "rate_ratio") visit(setting, self.rate_ratio);
    });
    visit(Setting{.name = "detach_norm",
                  .help = "1: DoRA's norm is a constant in backward, as in peft",
                  .expected = "0 or 1",
                  .good = [](double value) { return value == 0.0 || value == 1.0; }},
          self.detach_norm);
  }
};

/// Weight-decomposed low-rank adaptation (Liu et al., arXiv 2402.09353): W' = m ∘ V / ‖V‖ by rows,
/// V = W + (alpha / rank) · B·A. m (out) begins as the rows' norms of W. y = g ∘ (W·x + scale ·
/// B·A·dropout(x)), g = m / ‖V‖; no dense V exists: ‖V‖ and its gradient follow from W·Aᵀ and A·Aᵀ, formed in
/// each pass. The gradient is the full one; `detach_norm` gives peft's. (peft drops inputs of W as well, in a
/// second product.)
template <std::size_t Rank = dyn>
struct DoRA : PolicyDefaults {
  static_assert(Rank > 0, "sdlora::DoRA: the rank must be at least 1; to train nothing use Frozen");

  static constexpr std::string_view name = "dora";
  static constexpr bool is_static = Rank != dyn;
  using options = DoRAOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return o.rank * (site.shape.rows + site.shape.cols) + site.shape.rows;
  }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const options o = options_of<DoRA>(place);
      change_ = {store,
                 place,
                 {.rank = o.rank, .dropout = o.dropout, .rate_ratio = o.rate_ratio},
                 detail::alpha_of(o) / static_cast<double>(o.rank)};
      detach_ = o.detach_norm;
      squares_ = Storage<T, D>(place.rows());
      for_row_blocks(base_, thread_workspace<D>(), [&](std::size_t first, View w) {
        assign(squares().rows_from(first, w.rows), sum_of_squares(w));
      });
      m_ = store.add(place, ".magnitude", 1, place.rows(), {.decay = false});
      assign(column(m_.value), sqrt(squares()));
    }
    bool active() const { return change_.active(); }
    FrozenWeight<T, D> weight() const { return base_; }

    void forward(View x, Matrix y, Matrix kept, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      change_.forward(x, y, pass, workspace);
      if (kept) assign(kept, y);
      assign<AssignMode::Multiply>(y, row(factors(Norms(*this, workspace), workspace)));
    }

    /// d_y (M, out), of the scaled output, becomes that of W·x + scale · B·A·x.
    void output_backward(View kept, Matrix d_y, const Pass&, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const Norms norms(*this, workspace);
      const std::size_t out = base_.rows;
      const Matrix d_g = workspace.template matrix<T>(1, out);
      assign_column_sums(d_g, d_y * kept);
      assign<AssignMode::Multiply>(d_y, row(factors(norms, workspace)));
      assign<AssignMode::Add>(m_.gradient, d_g / row(norms.norm));
      if (detach_) return;
      // ∂/∂V = c ∘ V by rows, c = −∂/∂g · m / ‖V‖³.
      const T s = change_.scale();
      const auto& a = change_.a();
      const Learned<T, D>& b = change_.b();
      const Matrix c = workspace.template matrix<T>(out, 1);
      assign(c, -column(d_g) * column(m_.value) / (norms.norm * norms.norm * norms.norm));
      assign<AssignMode::Add>(b.gradient, s * c * (norms.w_a + s * norms.b_aa));
      const Matrix c_b = workspace.template matrix<T>(out, change_.rank());
      assign(c_b, c * b.value);
      for_row_blocks(base_, workspace, [&](std::size_t first, View w) {
        matmul(a.gradient, transposed(c_b.rows_from(first, w.rows)), w, Write::Add, s);
      });
      const Matrix b_c_b = workspace.template matrix<T>(change_.rank(), change_.rank());
      matmul(b_c_b, transposed(c_b), b.value);
      matmul(a.gradient, b_c_b, a.value, Write::Add, s * s);
    }

    void backward(View x, View d_y, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      change_.backward(x, d_y, d_x, pass, workspace);
    }

    /// target (out, in) += sign · (g ∘ V − W).
    void add_change(Matrix target, T sign) const {
      if (!active()) return;
      WorkspaceOn<D>& workspace = thread_workspace<D>();
      const WorkspaceScope scope(workspace);
      const Matrix g = factors(Norms(*this, workspace), workspace);
      base_.visit([&](const auto& w) { assign<AssignMode::Add>(target, sign * (g - T(1)) * values_of(w)); });
      const Matrix g_b = workspace.template matrix<T>(base_.rows, change_.rank());
      assign(g_b, g * change_.b().value);
      matmul(target, g_b, change_.a().value, Write::Add, sign * change_.scale());
    }

   private:
    /// Values of one row in a column, and the reverse.
    template <class U>
    static MatrixView<U, D> column(MatrixView<U, D> values) {
      return {values.data, values.cols, 1};
    }
    template <class U>
    static MatrixView<U, D> row(MatrixView<U, D> values) {
      return {values.data, 1, values.rows};
    }
    Matrix squares() { return {squares_.data(), base_.rows, 1}; }

    /// ‖V‖² = ‖W‖² + B·(2 s W·Aᵀ + s² B·A·Aᵀ) by rows.
    struct Norms {
      Norms(const Linear& l, WorkspaceOn<D>& workspace) {
        const std::size_t out = l.base_.rows, r = l.change_.rank();
        const T s = l.change_.scale();
        const View a = l.change_.a().value, b = l.change_.b().value;
        w_a = workspace.template matrix<T>(out, r);
        b_aa = workspace.template matrix<T>(out, r);
        norm = workspace.template matrix<T>(out, 1);
        const Matrix a_a = workspace.template matrix<T>(r, r);
        for_row_blocks(l.base_, workspace, [&](std::size_t first, View w) {
          matmul(w_a.rows_from(first, w.rows), w, transposed(a));
        });
        matmul(a_a, a, transposed(a));
        matmul(b_aa, b, a_a);
        const View squares(l.squares_.data(), out, 1);
        assign(norm, sqrt(squares + sum(b * (T(2) * s * w_a + s * s * b_aa))));
      }
      Matrix w_a, b_aa;  // (out, rank): W·Aᵀ and B·A·Aᵀ
      Matrix norm;       // (out, 1): ‖V‖
    };

    /// g (out, 1) = m / ‖V‖.
    Matrix factors(const Norms& norms, WorkspaceOn<D>& workspace) const {
      const Matrix g = workspace.template matrix<T>(base_.rows, 1);
      assign(g, column(m_.value) / norms.norm);
      return g;
    }

    FrozenWeight<T, D> base_;
    LowRank<T, D> change_;
    Learned<T, D> m_;
    Storage<T, D> squares_;  // ‖W‖² of each row
    bool detach_ = false;
  };
};

static_assert(AdapterPolicy<DoRA<8>> && AdapterPolicy<DoRA<>>);

}  // namespace sdlora
