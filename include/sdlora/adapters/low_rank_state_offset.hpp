#pragma once

#include "low_rank.hpp"
#include "scan_inputs.hpp"

#include <cstddef>

namespace sdlora {

/// What a state offset of low rank leaves open.
struct LowRankOffsetOptions {
  static constexpr std::string_view name = "low_rank_offset";

  std::size_t rank = 8;  ///< where the type says dyn

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "rank",
                  .help = "of the state offset",
                  .expected = "a rank of at least 1",
                  .good = detail::is_count},
          self.rank);
  }
};

/// State-offset tuning of h of low rank (Kang et al., arXiv 2503.03499): as StateOffset with h' = B·A, A
/// (rank, N) at first uniform in ±1/√N, B (E, rank) zero.
template <std::size_t Rank = dyn>
struct LowRankStateOffset : PolicyDefaults {
  static_assert(Rank > 0,
                "sdlora::LowRankStateOffset: the rank must be at least 1; to train nothing use Frozen");

  static constexpr std::string_view name = "low_rank_state_offset";
  static constexpr bool mergeable = false;
  static constexpr bool is_static = Rank != dyn;
  static constexpr ScanReads reads{.C = true};
  using options = LowRankOffsetOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return o.rank * (site.shape.rows + site.shape.cols);
  }

  /// What a model keeps of it at the scan (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Scan {
   public:
    Scan(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (place.active) {
        offset_ = {store, place, {.rank = options_of<LowRankStateOffset>(place).rank}, /*scale=*/1.0};
      }
    }
    bool active() const { return offset_.active(); }

    /// y (M, E) += C·(B·A)ᵀ.
    void add(const ScanInputs<const T, D>& in, MatrixView<T, D> y, WorkspaceOn<D>& workspace) const {
      offset_.forward(in.C, y, Pass{}, workspace);
    }
    void backward(const ScanInputs<const T, D>& in, MatrixView<const T, D> d_y, const ScanInputs<T, D>& d_in,
                  WorkspaceOn<D>& workspace) const {
      offset_.backward(in.C, d_y, d_in.C, Pass{}, workspace);
    }

   private:
    LowRank<T, D> offset_;
  };
};

static_assert(AdapterPolicy<LowRankStateOffset<8>> && AdapterPolicy<LowRankStateOffset<>>);

}  // namespace sdlora
