#pragma once

#include "low_rank.hpp"

namespace sdlora {

/// As LoRA: alpha / rank.
struct ByRank {
  static double of(double alpha, double rank) { return alpha / rank; }
};

/// Low-rank adaptation (Hu et al., arXiv 2106.09685): W + (alpha / rank) · B·A, A (rank, in) uniform in
/// ±1/√in, B (out, rank) zero. At a linear site the product is made beside the frozen one; no dense change or
/// gradient of the weight exists. It also sits at the convolution, A_log, h0 and the embedding. With `Rank` =
/// dyn the rank comes from LoRAOptions.
template <std::size_t Rank = dyn>
struct LoRA : LowRankPolicy<Rank, ByRank> {
  static constexpr std::string_view name = "lora";
};

static_assert(AdapterPolicy<LoRA<8>> && AdapterPolicy<LoRA<>>);

}  // namespace sdlora
