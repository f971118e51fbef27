#pragma once

#include "../tensor/column_sums.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sdlora {

/// What VeRA leaves open.
struct VeRAOptions {
  static constexpr std::string_view name = "vera";
  /// A and B follow from the rank alone: without a limit an adapter file of a few bytes could ask for any
  /// memory.
  static constexpr std::size_t most_rank = 16384;

  std::size_t rank = 256;             ///< of the random matrices, where the type says dyn
  std::uint64_t projection_seed = 0;  ///< of the random matrices, whatever the seed of the model

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "rank",
                  .help = "of VeRA's random matrices",
                  .expected = "a rank from 1 to 16384",
                  .good = [](double rank) { return rank >= 1.0 && rank <= most_rank; }},
          self.rank);
    visit(Setting{.name = "projection_seed", .help = "of random matrices that do not learn"},
          self.projection_seed);
  }
};

/// Vector-based random matrix adaptation (Kopiczko et al., arXiv 2310.11454): y += b ∘ (B·(d ∘ A·x)). A
/// (rank, in) and B (out, rank) are random and frozen; d (1, rank), at first 0.1, and b (1, out), at first
/// zero, learn. Weight decay leaves d alone: zero is not where it comes from. All sites of a model whose A or
/// B are of one shape share it (the paper has one pair for all layers, which have one shape there). An
/// adapter file holds d, b and the seed, from which A and B come again.
template <std::size_t Rank = dyn>
struct VeRA : PolicyDefaults {
  static_assert(Rank > 0, "sdlora::VeRA: the rank must be at least 1; to train nothing use Frozen");
  static_assert(Rank == dyn || Rank <= VeRAOptions::most_rank,
                "sdlora::VeRA: the rank must be at most 16384; choose a smaller one");

  static constexpr std::string_view name = "vera";
  static constexpr bool is_static = Rank != dyn;
  using options = VeRAOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) { return o.rank + site.shape.rows; }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const options o = options_of<VeRA>(place);
      scale_d_ = store.add(place, ".vera_d", 1, o.rank, {.decay = false});
      scale_b_ = store.add(place, ".vera_b", 1, place.rows());
      assign(scale_d_.value, T(0.1));
      a_ = random(store, o.projection_seed, "vera_A", o.rank, place.cols());
      b_ = random(store, o.projection_seed, "vera_B", place.rows(), o.rank);
    }
    bool active() const { return static_cast<bool>(scale_d_); }
    FrozenWeight<T, D> weight() const { return base_; }
    /// A (rank, in) and B (out, rank); only where the site learns.
    View a() const { return a_; }
    View b() const { return b_; }

    /// y (M, out) += b ∘ B·(d ∘ A·x), x (M, in).
    void forward(View x, Matrix y, const Pass&, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const Matrix low = workspace.template matrix<T>(x.rows, rank());  // (M, rank)
      const Matrix high = workspace.template matrix<T>(y.rows, y.cols);
      matmul(low, x, transposed(a()));
      assign<AssignMode::Multiply>(low, scale_d_.value);
      matmul(high, low, transposed(b()));
      assign<AssignMode::Add>(y, high * scale_b_.value);
    }

    /// Adds to the gradients of d and b; and to d_x (M, in) unless it is empty.
    void backward(View x, View d_y, Matrix d_x, const Pass&, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const Matrix low = workspace.template matrix<T>(x.rows, rank());
      const Matrix d_low = workspace.template matrix<T>(x.rows, rank());
      const Matrix high = workspace.template matrix<T>(d_y.rows, d_y.cols);
      matmul(low, x, transposed(a()));
      assign(d_low, low * scale_d_.value);
      matmul(high, d_low, transposed(b()));
      assign_column_sums<AssignMode::Add>(scale_b_.gradient, d_y * high);
      assign(high, d_y * scale_b_.value);
      matmul(d_low, high, b());
      assign_column_sums<AssignMode::Add>(scale_d_.gradient, d_low * low);
      if (!d_x) return;
      assign<AssignMode::Multiply>(d_low, scale_d_.value);
      matmul(d_x, d_low, a(), Write::Add);
    }

    /// target (out, in) += sign · diag(b)·B·diag(d)·A.
    void add_change(Matrix target, T sign) const {
      if (!active()) return;
      WorkspaceOn<D>& workspace = thread_workspace<D>();
      const WorkspaceScope scope(workspace);
      const Matrix scaled = workspace.template matrix<T>(base_.rows, rank());
      const View column(scale_b_.value.data, base_.rows, 1);
      assign(scaled, column * b() * scale_d_.value);
      matmul(target, scaled, a(), Write::Add, sign);
    }

   private:
    std::size_t rank() const { return scale_d_.value.cols; }

    /// Uniform in ±√(6 / cols), as peft draws them (Kaiming's bound); the same bits on every platform.
    static View random(ParameterStore<T, D>& store, std::uint64_t seed, const std::string& key,
                       std::size_t rows, std::size_t cols) {
      const RandomStream stream(seed, detail::stream_of(key));
      const double bound = std::sqrt(6.0 / static_cast<double>(cols));
      return store.constant(key + " " + std::to_string(seed), rows, cols,
                            [&](std::size_t i) { return bound * (2.0 * stream.uniform(i) - 1.0); });
    }

    FrozenWeight<T, D> base_;
    View a_, b_;
    Learned<T, D> scale_d_, scale_b_;  // d and b
  };
};

static_assert(AdapterPolicy<VeRA<256>> && AdapterPolicy<VeRA<>>);

}  // namespace sdlora
