#pragma once

#include "low_rank.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace sdlora {

/// What LoRA-FA leaves open.
struct LoRAFAOptions {
  static constexpr std::string_view name = "lora_fa";
  /// A follows from the rank alone: without a limit an adapter file could ask for any memory.
  static constexpr std::size_t most_rank = 16384;

  std::size_t rank = 8;               ///< where the type says dyn
  double alpha = 0.0;                 ///< the scale is alpha / rank; 0 means alpha = rank
  double dropout = 0.0;               ///< probability, on the input of A, while training
  std::uint64_t projection_seed = 0;  ///< of A, whatever the seed of the model

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    LoRAOptions usual;
    LoRAOptions::visit(usual, [&](const Setting& setting, const auto&) {
      if (setting.name == "alpha") visit(setting, self.alpha);
      if (setting.name == "dropout") visit(setting, self.dropout);
    });
    visit(Setting{.name = "rank",
                  .help = "of LoRA-FA",
                  .expected = "a rank from 1 to 16384",
                  .good = [](double rank) { return rank >= 1.0 && rank <= most_rank; }},
          self.rank);
    visit(Setting{.name = "projection_seed", .help = "of random matrices that do not learn"},
          self.projection_seed);
  }
};

/// LoRA with a frozen A (Zhang et al., arXiv 2308.03303): W + (alpha / rank) · B·A, A (rank, in) random in
/// ±1/√in, B (out, rank) learned, at first zero. Half of LoRA's learned values, gradients and optimizer state
/// where a site is square; what a pass keeps is as with LoRA. An adapter file holds B and the seed, from
/// which A comes again: the same bits on every platform.
template <std::size_t Rank = dyn>
struct LoRAFA : PolicyDefaults {
  static_assert(Rank > 0, "sdlora::LoRAFA: the rank must be at least 1; to train nothing use Frozen");
  static_assert(Rank == dyn || Rank <= LoRAFAOptions::most_rank,
                "sdlora::LoRAFA: the rank must be at most 16384; choose a smaller one");

  static constexpr std::string_view name = "lora_fa";
  static constexpr bool is_static = Rank != dyn;
  using options = LoRAFAOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Rank != dyn) o.rank = Rank;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) { return o.rank * site.shape.rows; }

  /// What a model keeps of it at a linear site (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Linear : public LowRank<T, D> {
   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : LowRank<T, D>(at(store, place)), base_(place.base) {}
    FrozenWeight<T, D> weight() const { return base_; }

   private:
    static LowRank<T, D> at(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (!place.active) return {};
      const options o = options_of<LoRAFA>(place);
      const std::string key = place.name + ".lora_A";
      const RandomStream random(o.projection_seed, detail::stream_of(key));
      const double bound = 1.0 / std::sqrt(static_cast<double>(place.cols()));
      const auto a = store.constant(key, o.rank, place.cols(),
                                    [&](std::size_t i) { return bound * (2.0 * random.uniform(i) - 1.0); });
      return {store,
              place,
              {.rank = o.rank, .dropout = o.dropout},
              detail::alpha_of(o) / static_cast<double>(o.rank),
              a};
    }

    FrozenWeight<T, D> base_;
  };
};

static_assert(AdapterPolicy<LoRAFA<8>> && AdapterPolicy<LoRAFA<>>);

}  // namespace sdlora
