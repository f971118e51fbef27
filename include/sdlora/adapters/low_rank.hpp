#pragma once

#include "../tensor/add_rows.hpp"
#include "../tensor/dropout_mask.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/indexed.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace sdlora {

/// What LoRA, and policies that build on it, leave open.
struct LoRAOptions {
  static constexpr std::string_view name = "lora";

  std::size_t rank = 8;      ///< where the type says dyn
  double alpha = 0.0;        ///< the scale is alpha / rank (RsLoRA: alpha / √rank); 0 means alpha = rank
  double dropout = 0.0;      ///< probability, on the input of A, while training
  double rate_ratio = 1.0;   ///< B's learning rate by A's: LoRA+ (Hayou et al., arXiv 2402.12354)
  bool lookup_only = false;  ///< at an embedding with a tied head: the head keeps the base's, as in peft

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(
        Setting{
            .name = "rank", .help = "of LoRA", .expected = "a rank of at least 1", .good = detail::is_count},
        self.rank);
    visit(Setting{.name = "alpha",
                  .help = "LoRA's scale is alpha / rank; 0: alpha = rank",
                  .expected = "an alpha above 0, or 0 for alpha = rank",
                  .good = detail::is_not_negative},
          self.alpha);
    visit(Setting{.name = "dropout",
                  .help = "the share of LoRA's inputs that are dropped",
                  .expected = "a dropout of at least 0 and below 1",
                  .good = detail::is_below_one},
          self.dropout);
    visit(Setting{.name = "rate_ratio",
                  .help = "the learning rate of LoRA's B by that of A (LoRA+)",
                  .expected = "a ratio above 0",
                  .good = detail::is_positive},
          self.rate_ratio);
    visit(Setting{.name = "lookup_only",
                  .help = "1: LoRA of a tied embedding acts on the lookup of tokens, not on the head",
                  .expected = "0 or 1",
                  .good = [](double value) { return value == 0.0 || value == 1.0; }},
          self.lookup_only);
  }
};

namespace detail {
/// What alpha stands for: 0 for the rank.
template <class Options>
double alpha_of(const Options& o) {
  return o.alpha == 0.0 ? static_cast<double>(o.rank) : o.alpha;
}
}  // namespace detail

/// B·A of low rank, A (rank, in) and B (out, rank), and its products: what LoRA learns at a site, beside the
/// base's weight (out, in). A is at first uniform in ±1/√in, B zero.
template <class T, class D = Cpu>
class LowRank {
  using View = MatrixView<const T, D>;
  using Matrix = MatrixView<T, D>;

 public:
  LowRank() = default;

  /// B·A is added times `scale`.
  LowRank(ParameterStore<T, D>& store, const SitePlace<T, D>& place, const LoRAOptions& options, double scale)
      : LowRank(store, place, options, scale, [&](Matrix a, Matrix) {
          const RandomStream random(place.options->seed, detail::stream_of(place.name));
          const double bound = 1.0 / std::sqrt(static_cast<double>(place.cols()));
          detail::set_each(a, [&](std::size_t i) { return bound * (2.0 * random.uniform(i) - 1.0); });
        }) {}

  /// The same from values that begin(A, B) sets, both zero before; `decay` as in HowLearned.
  template <std::invocable<Matrix, Matrix> Begin>
  LowRank(ParameterStore<T, D>& store, const SitePlace<T, D>& place, const LoRAOptions& options, double scale,
          const Begin& begin, std::optional<bool> decay = {})
      : LowRank(place, options, scale) {
    const Learned<T, D> a = store.add(place, ".lora_A", options.rank, place.cols(), {.decay = decay});
    b_ = store.add(place, ".lora_B", place.rows(), options.rank,
                   {.rate_factor = options.rate_ratio, .decay = decay});
    a_ = {a.value, a.gradient};
    begin(a.value, b_.value);
  }

  /// The same with an A (rank, in) that is given and does not learn.
  LowRank(ParameterStore<T, D>& store, const SitePlace<T, D>& place, const LoRAOptions& options, double scale,
          View a)
      : LowRank(place, options, scale) {
    a_ = {a, {}};
    b_ = store.add(place, ".lora_B", place.rows(), options.rank);
  }

  /// A and its gradient, which is empty where A does not learn.
  struct A {
    View value;
    Matrix gradient;
  };

  bool active() const { return static_cast<bool>(b_); }
  T scale() const { return scale_; }
  std::size_t rank() const { return a_.value.rows; }
  /// A (rank, in) and B (out, rank); empty in a layer where the site does not learn.
  const A& a() const { return a_; }
  const Learned<T, D>& b() const { return b_; }

  /// y (M, out) += scale · B·A·dropout(x), x (M, in).
  void forward(View x, Matrix y, const Pass& pass, WorkspaceOn<D>& workspace) const {
    if (!active()) return;
    const WorkspaceScope scope(workspace);
    const View input = dropped(x, pass, workspace);
    const Matrix low = workspace.template matrix<T>(x.rows, rank());  // (M, rank)
    matmul(low, input, transposed(a_.value));
    matmul(y, low, transposed(b_.value), Write::Add, scale_);
  }

  /// Adds to the gradients of A and B; and to d_x (M, in) unless it is empty.
  void backward(View x, View d_y, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
    if (!active()) return;
    const WorkspaceScope scope(workspace);
    const View input = dropped(x, pass, workspace);
    const Matrix low = workspace.template matrix<T>(x.rows, rank());
    const Matrix d_low = workspace.template matrix<T>(x.rows, rank());
    matmul(low, input, transposed(a_.value));
    matmul(b_.gradient, transposed(d_y), low, Write::Add, scale_);
    if (!a_.gradient && !d_x) return;
    matmul(d_low, d_y, b_.value, Write::Overwrite, scale_);
    if (a_.gradient) matmul(a_.gradient, transposed(d_low), input, Write::Add);
    if (!d_x) return;
    if (!drops(pass)) {
      matmul(d_x, d_low, a_.value, Write::Add);
      return;
    }
    const Matrix d_input = workspace.template matrix<T>(x.rows, x.cols);
    matmul(d_input, d_low, a_.value);
    assign<AssignMode::Add>(d_x, d_input * mask(x, pass));
  }

  /// target (out, in) += sign · scale · B·A: merges (sign 1) and unmerges (sign −1).
  void add_change(Matrix target, T sign) const {
    if (active()) matmul(target, b_.value, a_.value, Write::Add, sign * scale_);
  }

  /// Adds to the gradients of A and B, from that of B·A times scale as a whole, d (out, in).
  void add_gradient(View d) const {
    if (!active()) return;
    matmul(b_.gradient, d, transposed(a_.value), Write::Add, scale_);
    if (a_.gradient) matmul(a_.gradient, transposed(b_.value), d, Write::Add, scale_);
  }

 private:
  LowRank(const SitePlace<T, D>& place, const LoRAOptions& options, double scale)
      : scale_(static_cast<T>(scale)),
        dropout_(options.dropout),
        seed_(place.options->seed),
        stream_(detail::stream_of(place.name)) {}

  bool drops(const Pass& pass) const { return pass.training && dropout_ > 0.0; }

  View dropped(View x, const Pass& pass, WorkspaceOn<D>& workspace) const {
    if (!drops(pass)) return x;
    const Matrix kept = workspace.template matrix<T>(x.rows, x.cols);
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

  A a_;
  Learned<T, D> b_;
  T scale_ = T(1);
  double dropout_ = 0.0;
  std::uint64_t seed_ = 0;
  std::uint64_t stream_ = 0;
};

/// What policies share whose change is LowRank, as LoRA is. `Scale` says by which number B·A is multiplied:
/// Scale::of(alpha, rank).
template <std::size_t Rank, class Scale>
struct LowRankPolicy : PolicyDefaults {
  static_assert(Rank > 0, "sdlora::LoRA: the rank must be at least 1; to train nothing use Frozen");

  static constexpr bool is_static = Rank != dyn;
  using options = LoRAOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return o.rank * (site.shape.rows + site.shape.cols);
  }
  /// Among element-wise sites those that are matrices; of one row there is nothing to save.
  template <class S>
  static constexpr bool sits_at =
      S::kind == SiteKind::Linear || S::kind == SiteKind::Embedding || S::kind == SiteKind::State ||
      std::is_same_v<S, site::ALog> || std::is_same_v<S, site::Conv1d> || StateSite<S>;

  template <class T, class D>
  static LowRank<T, D> at(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
    if (!place.active) return {};
    const options o = options_of<LowRankPolicy>(place);
    return {store, place, o, Scale::of(detail::alpha_of(o), static_cast<double>(o.rank))};
  }

  static constexpr std::string_view name = "low_rank";  // those that derive from it have their own

  /// At a linear site: the product is made beside the frozen one.
  template <class T, class D = Cpu>
  class Linear : public LowRank<T, D> {
   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : LowRank<T, D>(at(store, place)), base_(place.base) {}
    FrozenWeight<T, D> weight() const { return base_; }

   private:
    FrozenWeight<T, D> base_;
  };

  /// At an element-wise site or a state: base + scale · B·A, formed in each pass.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : base_(place.base.values()), change_(at(store, place)), shape_(place.site.shape) {}
    bool active() const { return change_.active(); }
    MatrixView<const T, D> values(WorkspaceOn<D>& workspace) const {
      if (!active()) return base_;
      const MatrixView<T, D> values = workspace.template matrix<T>(shape_.rows, shape_.cols);
      if (base_) {
        assign(values, base_);
      } else {
        assign(values, 0);
      }
      change_.add_change(values, T(1));
      return values;
    }
    void add_gradient(MatrixView<const T, D> d_values, WorkspaceOn<D>&) const {
      change_.add_gradient(d_values);
    }
    void add_change(MatrixView<T, D> target, T sign) const { change_.add_change(target, sign); }

   private:
    MatrixView<const T, D> base_;
    LowRank<T, D> change_;
    SiteShape shape_;
  };

  /// At the embedding (V, d): a token's row is base + scale · B·A there. A tied head multiplies by the same
  /// sum, unless `lookup_only`. Dropout acts on the head's input alone.
  template <class T, class D = Cpu>
  class Embedding {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;
    template <class Index>
    using Ids = MatrixView<const Index, D>;

   public:
    Embedding(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : base_(place.base), change_(at(store, place)) {
      if (place.active) lookup_only_ = options_of<LowRankPolicy>(place).lookup_only;
    }
    bool active() const { return change_.active(); }
    FrozenWeight<T, D> weight() const { return base_; }

    /// x (M, d) = the rows of the ids (1, M).
    template <class Index>
    void lookup(Ids<Index> ids, Matrix x, WorkspaceOn<D>& workspace) const {
      look_up(x, base_, ids);
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      matmul(x, rows_of_b(ids, workspace), change_.a().value, Write::Add, change_.scale());
    }
    /// Adds to the gradients, from that of the rows looked up, d_x (M, d).
    template <class Index>
    void lookup_backward(Ids<Index> ids, View d_x, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      matmul(change_.a().gradient, transposed(rows_of_b(ids, workspace)), d_x, Write::Add, change_.scale());
      const Matrix d_rows = workspace.template matrix<T>(ids.cols, change_.rank());
      matmul(d_rows, d_x, transposed(change_.a().value), Write::Overwrite, change_.scale());
      add_rows(change_.b().gradient, d_rows, ids);
    }
    void forward(View x, Matrix y, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!lookup_only_) change_.forward(x, y, pass, workspace);
    }
    void backward(View x, View d_y, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      if (!lookup_only_) change_.backward(x, d_y, d_x, pass, workspace);
    }
    /// Why a model whose head is tied to the embedding cannot be merged; empty: it can.
    std::string_view unmergeable_if_tied() const {
      return active() && lookup_only_
                 ? "the embedding's LoRA acts on the lookup only, while the head is tied to the embedding"
                 : std::string_view{};
    }
    void add_change(Matrix target, T sign) const { change_.add_change(target, sign); }

   private:
    template <class Index>
    Matrix rows_of_b(Ids<Index> ids, WorkspaceOn<D>& workspace) const {
      const Matrix rows = workspace.template matrix<T>(ids.cols, change_.rank());
      assign(rows, rows_at(change_.b().value, ids));
      return rows;
    }

    FrozenWeight<T, D> base_;
    LowRank<T, D> change_;
    bool lookup_only_ = false;
  };
};

}  // namespace sdlora
