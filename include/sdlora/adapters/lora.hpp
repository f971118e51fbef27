#pragma once

#include "../tensor/dropout_mask.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"

#include <cmath>
#include <cstddef>

namespace sdlora {

/// Low-rank adaptation (Hu et al., arXiv 2106.09685) of a linear site:
/// y += (alpha / rank) · B·(A·dropout(x)), A (rank, in) uniform in ±1/√in, B (out, rank) zero.
/// The product is made beside the frozen one; no dense change or gradient of the weight exists.
/// With `Rank` = dyn the rank comes from AdapterOptions.
template <std::size_t Rank = dyn>
struct LoRA {
  static_assert(Rank > 0, "sdlora::LoRA: the rank must be at least 1; to train nothing use Frozen");

  static constexpr std::string_view name = "lora";
  static constexpr bool learns = true;
  static constexpr bool mergeable = true;
  static constexpr bool is_static = Rank != dyn;
  static constexpr std::size_t rank(AdapterSizes sizes) { return Rank == dyn ? sizes.rank : Rank; }
  static constexpr std::size_t count(SiteShape shape, AdapterSizes sizes) {
    return rank(sizes) * (shape.rows + shape.cols);
  }

  /// A and B at one site, beside the base's frozen weight.
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const std::size_t r = rank(place.sizes);
      a_ = store.add(place, ".lora_A", r, place.shape.cols);
      b_ = store.add(place, ".lora_B", place.shape.rows, r);
      const double alpha = place.options->alpha == 0.0 ? static_cast<double>(r) : place.options->alpha;
      scale_ = static_cast<T>(alpha / static_cast<double>(r));
      dropout_ = place.options->dropout;
      seed_ = place.options->seed;
      stream_ = detail::stream_of(place.name);
      const RandomStream random(seed_, stream_);
      const double bound = 1.0 / std::sqrt(static_cast<double>(place.shape.cols));
      detail::set_each(a_.value, [&](std::size_t i) { return bound * (2.0 * random.uniform(i) - 1.0); });
    }

    bool active() const { return static_cast<bool>(a_); }
    View weight() const { return base_; }
    T scale() const { return scale_; }
    /// A (rank, in) and B (out, rank); empty in a layer where the site does not learn.
    const Learned<T, D>& a() const { return a_; }
    const Learned<T, D>& b() const { return b_; }

    /// y (M, out) += scale · B·A·dropout(x), x (M, in).
    void forward(View x, MatrixView<T, D> y, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const View input = dropped(x, pass, workspace);
      const MatrixView<T, D> low = workspace.template matrix<T>(x.rows, rows());  // (M, rank)
      matmul(low, input, transposed(a_.value));
      matmul(y, low, transposed(b_.value), Write::Add, scale_);
    }

    /// Adds to the gradients of A and B; and to d_x (M, in) unless it is empty.
    void backward(View x, View d_y, MatrixView<T, D> d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const View input = dropped(x, pass, workspace);
      const MatrixView<T, D> low = workspace.template matrix<T>(x.rows, rows());
      const MatrixView<T, D> d_low = workspace.template matrix<T>(x.rows, rows());
      matmul(low, input, transposed(a_.value));
      matmul(b_.gradient, transposed(d_y), low, Write::Add, scale_);
      matmul(d_low, d_y, b_.value, Write::Overwrite, scale_);
      matmul(a_.gradient, transposed(d_low), input, Write::Add);
      if (!d_x) return;
      if (!drops(pass)) {
        matmul(d_x, d_low, a_.value, Write::Add);
        return;
      }
      const MatrixView<T, D> d_input = workspace.template matrix<T>(x.rows, x.cols);
      matmul(d_input, d_low, a_.value);
      assign<AssignMode::Add>(d_x, d_input * mask(x, pass));
    }

    /// target += sign · scale · B·A: merges (sign 1) and unmerges (sign −1).
    void add_change(MatrixView<T, D> target, T sign) const {
      if (active()) {
        matmul(target, b_.value, a_.value, Write::Add, sign * scale_);
      }
    }

   private:
    std::size_t rows() const { return a_.value.rows; }
    bool drops(const Pass& pass) const { return pass.training && dropout_ > 0.0; }

    View dropped(View x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!drops(pass)) return x;
      const MatrixView<T, D> kept = workspace.template matrix<T>(x.rows, x.cols);
      assign(kept, x * mask(x, pass));
      return kept;
    }

    /// The same pass number gives the same mask, so backward repeats forward's.
    auto mask(View x, const Pass& pass) const {
      // Of a stream that is not that of A's initial values. The seed and the pass are mixed: were they added,
      // the masks of one seed would be those of the next, a pass later.
      const RandomStream random(RandomStream(seed_, ~stream_).bits(pass.step), 0);
      return dropout_mask<T>(random, dropout_, x.rows, x.cols);
    }

    View base_;
    Learned<T, D> a_, b_;
    T scale_ = T(1);
    double dropout_ = 0.0;
    std::uint64_t seed_ = 0;
    std::uint64_t stream_ = 0;
  };
};

static_assert(AdapterPolicy<LoRA<8>> && AdapterPolicy<LoRA<>>);

}  // namespace sdlora
