#pragma once

#include "../tensor/host_copy.hpp"
#include "../tensor/principal_factors.hpp"
#include "low_rank.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace sdlora {

/// LoRA that begins at the principal singular values of the weight (PiSSA, Meng et al., arXiv 2404.02948):
/// W − s·B₀·A₀ + s·B·A, s = alpha / rank, where B and A begin at B₀ and A₀, and s·B₀·A₀ is the part of W of
/// that rank that is nearest to it (principal_factors). The published method writes W − s·B₀·A₀ into the
/// checkpoint; here the base stays as it is, many models share it, and B₀·A₀ is subtracted beside it. The
/// change is of rank 2·rank. Weight decay leaves A and B alone: zero is not where they come from. An adapter
/// file holds A and B; A₀ and B₀ come again from the base. They are found when a model is made: for the
/// 130M's in_proj and out_proj some seconds.
template <std::size_t Rank = dyn>
struct PiSSA : PolicyDefaults {
  static_assert(Rank > 0, "sdlora::PiSSA: the rank must be at least 1; to train nothing use Frozen");

  static constexpr std::string_view name = "pissa";
  static constexpr bool is_static = Rank != dyn;
  using options = LoRAOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return o.rank * (site.shape.rows + site.shape.cols);
  }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const options o = options_of<PiSSA>(place);
      if (const std::size_t most = std::min(place.rows(), place.cols()); o.rank > most) {
        throw ArgumentError(place.name + ": expected a rank of at most " + std::to_string(most) +
                            " for PiSSA, as many singular values as the weight has, found " +
                            std::to_string(o.rank) + "; choose a smaller rank");
      }
      const double scale = detail::alpha_of(o) / static_cast<double>(o.rank);
      const std::vector<T> base = base_values();
      const PrincipalFactors start =
          principal_factors(MatrixView<const T>(base.data(), place.rows(), place.cols()), o.rank);
      const double root = 1.0 / std::sqrt(scale);
      a_ = store.constant(place.name + ".pissa_A", o.rank, place.cols(),
                          [&](std::size_t i) { return root * start.A[i]; });
      b_ = store.constant(place.name + ".pissa_B", place.rows(), o.rank,
                          [&](std::size_t i) { return root * start.B[i]; });
      change_ = {store,
                 place,
                 o,
                 scale,
                 [&](Matrix a, Matrix b) {
                   assign(a, a_);
                   assign(b, b_);
                 },
                 /*decay=*/false};
    }
    bool active() const { return change_.active(); }
    FrozenWeight<T, D> weight() const { return base_; }

    void forward(View x, Matrix y, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      change_.forward(x, y, pass, workspace);
      through_start(x, transposed(a_), transposed(b_), y, workspace);
    }
    void backward(View x, View d_y, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      change_.backward(x, d_y, d_x, pass, workspace);
      if (d_x) through_start(d_y, b_, a_, d_x, workspace);
    }

    /// target (out, in) += sign · scale · (B·A − B₀·A₀).
    void add_change(Matrix target, T sign) const {
      if (!active()) return;
      change_.add_change(target, sign);
      matmul(target, b_, a_, Write::Add, -sign * change_.scale());
    }

   private:
    /// to −= scale · from·first·second.
    template <class First, class Second>
    void through_start(View from, First first, Second second, Matrix to, WorkspaceOn<D>& workspace) const {
      const WorkspaceScope scope(workspace);
      const Matrix low = workspace.template matrix<T>(from.rows, change_.rank());
      matmul(low, from, first);
      matmul(to, low, second, Write::Add, -change_.scale());
    }

    /// On the host.
    std::vector<T> base_values() const {
      std::vector<T> all(base_.rows * base_.cols);
      for_row_blocks(base_, thread_workspace<D>(), [&](std::size_t first, View w) {
        const HostCopy copy(w);
        std::copy(copy.values().begin(), copy.values().end(), all.data() + first * base_.cols);
      });
      return all;
    }

    FrozenWeight<T, D> base_;
    LowRank<T, D> change_;
    View a_, b_;  // A₀ and B₀
  };
};

static_assert(AdapterPolicy<PiSSA<8>> && AdapterPolicy<PiSSA<>>);

}  // namespace sdlora
