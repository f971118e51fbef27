#pragma once

#include "../tensor/column_sums.hpp"
#include "../tensor/indexed.hpp"
#include "detail/index_list.hpp"
#include "low_rank.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sdlora {

/// What ProDiaL leaves open.
struct ProDiaLOptions {
  static constexpr std::string_view name = "prodial";

  std::size_t rank = 8;        ///< of the low-rank part
  double alpha = 0.0;          ///< its scale is alpha / rank; 0 means alpha = rank
  double dropout = 0.0;        ///< probability, on its input, while training
  std::size_t block_size = 4;  ///< of the diagonal blocks; a divisor of the site's inputs

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    LoRAOptions usual;
    LoRAOptions::visit(usual, [&](const Setting& setting, const auto&) {
      if (setting.name == "rank") visit(setting, self.rank);
      if (setting.name == "alpha") visit(setting, self.alpha);
      if (setting.name == "dropout") visit(setting, self.dropout);
    });
    visit(Setting{.name = "block_size",
                  .help = "of ProDiaL's diagonal blocks; a divisor of a site's inputs",
                  .expected = "a block size of at least 1",
                  .good = detail::is_count},
          self.block_size);
  }
};

/// Projector-targeted diagonal-centric linear transformation (ProDiaL, Ham et al., arXiv 2411.15224): W' =
/// diag(s)·W·M + (alpha / rank) · B·A. s (out) begins as ones, M (in, in), of blocks on its diagonal, as the
/// identity, and B·A as LoRA's. M acts on the input before the frozen product and s on what comes out of it,
/// so that no dense change exists. `Rank` = dyn leaves all sizes to ProDiaLOptions. Weight decay leaves s and
/// M alone: zero is not where they come from.
template <std::size_t Rank = dyn, std::size_t BlockSize = dyn>
struct ProDiaL : PolicyDefaults {
  static_assert(
      Rank > 0 && BlockSize > 0,
      "sdlora::ProDiaL: the rank and the block size must be at least 1; to train nothing use Frozen");

  static constexpr std::string_view name = "prodial";
  static constexpr bool is_static = Rank != dyn && BlockSize != dyn;
  using options = ProDiaLOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    if (BlockSize != dyn) o.block_size = BlockSize;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return site.shape.rows + o.block_size * site.shape.cols + o.rank * (site.shape.rows + site.shape.cols);
  }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const options o = options_of<ProDiaL>(place);
      const std::size_t in = place.cols(), b = o.block_size;
      if (in % b != 0) {
        throw ArgumentError(place.name + ": expected a block size that divides its " + std::to_string(in) +
                            " inputs, found " + std::to_string(b) + "; choose another block_size");
      }
      s_ = store.add(place, ".prodial_s", 1, place.rows(), {.decay = false});
      m_ = store.add(place, ".prodial_M", b, in, {.decay = false});
      low_ = {store,
              place,
              {.rank = o.rank, .dropout = o.dropout},
              detail::alpha_of(o) / static_cast<double>(o.rank)};
      assign(s_.value, 1);
      detail::set_each(m_.value, [&](std::size_t i) { return i % in % b == i / in ? 1.0 : 0.0; });
      for (std::size_t k = 0; k < b; ++k) {
        std::vector<std::uint32_t> inputs, mirrored;
        for (std::size_t i = 0; i < in; ++i) {
          inputs.push_back(static_cast<std::uint32_t>(i - i % b + k));
          mirrored.push_back(static_cast<std::uint32_t>(i % b * in + (i - i % b + k)));
        }
        inputs_.emplace_back(inputs);
        mirrored_.emplace_back(mirrored);
      }
    }
    bool active() const { return static_cast<bool>(s_); }
    FrozenWeight<T, D> weight() const { return base_; }

    /// x·Mᵀ (M, in).
    View input(View x, const Pass&, WorkspaceOn<D>& workspace) const {
      const Matrix result = workspace.template matrix<T>(x.rows, x.cols);
      assign(result, 0);
      for (std::size_t k = 0; k < inputs_.size(); ++k) {
        assign<AssignMode::Add>(result, columns_at(x, inputs_[k].row()) * m_.value.rows_from(k, 1));
      }
      return result;
    }
    /// From the gradient of `input`'s result: adds to that of M, and to d_x unless it is empty.
    void input_backward(View x, View d_input, Matrix d_x, const Pass&, WorkspaceOn<D>& workspace) const {
      const WorkspaceScope scope(workspace);
      const Matrix mirror = workspace.template matrix<T>(1, x.cols);
      for (std::size_t k = 0; k < inputs_.size(); ++k) {
        assign_column_sums<AssignMode::Add>(m_.gradient.rows_from(k, 1),
                                            d_input * columns_at(x, inputs_[k].row()));
        if (!d_x) continue;
        mirrored_row(k, mirror);
        assign<AssignMode::Add>(d_x, columns_at(d_input, inputs_[k].row()) * mirror);
      }
    }

    /// y (M, out) = s ∘ y; `kept` is y as it was.
    void forward(View, Matrix y, Matrix kept, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      if (kept) assign(kept, y);
      assign<AssignMode::Multiply>(y, s_.value);
    }
    void output_backward(View kept, Matrix d_y, const Pass&, WorkspaceOn<D>&) const {
      if (!active()) return;
      assign_column_sums<AssignMode::Add>(s_.gradient, d_y * kept);
      assign<AssignMode::Multiply>(d_y, s_.value);
    }

    /// The low-rank part, of the input as it was.
    void beside(View x, Matrix y, const Pass& pass, WorkspaceOn<D>& workspace) const {
      low_.forward(x, y, pass, workspace);
    }
    void beside_backward(View x, View d_y, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) const {
      low_.backward(x, d_y, d_x, pass, workspace);
    }

    /// target (out, in) += sign · (diag(s)·W·M + (alpha / rank) · B·A − W).
    void add_change(Matrix target, T sign) const {
      if (!active()) return;
      WorkspaceOn<D>& workspace = thread_workspace<D>();
      const WorkspaceScope scope(workspace);
      const View s(s_.value.data, base_.rows, 1);
      const Matrix mirror = workspace.template matrix<T>(1, base_.cols);
      for_row_blocks(base_, workspace, [&](std::size_t first, View w) {
        const Matrix to = target.rows_from(first, w.rows);
        const View s_here = s.rows_from(first, w.rows);
        for (std::size_t k = 0; k < inputs_.size(); ++k) {
          mirrored_row(k, mirror);
          assign<AssignMode::Add>(to, sign * s_here * columns_at(w, inputs_[k].row()) * mirror);
        }
        assign<AssignMode::Subtract>(to, sign * w);
      });
      low_.add_change(target, sign);
    }

   private:
    /// For each input, by what it goes into the input k of its block.
    void mirrored_row(std::size_t k, Matrix row) const {
      assign(row, elements_at(m_.value, mirrored_[k].row()));
    }

    FrozenWeight<T, D> base_;
    Learned<T, D> s_;
    Learned<T, D> m_;  // (block size, in): row k, by what each result reads the input k of its block
    LowRank<T, D> low_;
    std::vector<detail::IndexList<D>> inputs_;    // for each k, the input k of each input's block
    std::vector<detail::IndexList<D>> mirrored_;  // and the element of M that leads from an input there
  };
};

static_assert(AdapterPolicy<ProDiaL<8, 4>> && AdapterPolicy<ProDiaL<>>);

}  // namespace sdlora
