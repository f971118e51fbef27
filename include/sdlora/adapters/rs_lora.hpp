#pragma once

#include "low_rank.hpp"

namespace sdlora {

/// As RsLoRA: alpha / √rank.
struct BySquareRootOfRank {
  static double of(double alpha, double rank) { return alpha / std::sqrt(rank); }
};

/// Rank-stabilised LoRA (Kalajdzievski, arXiv 2312.03732): as LoRA, with the scale alpha / √rank, so that a
/// high rank learns as fast as a low one.
template <std::size_t Rank = dyn>
struct RsLoRA : LowRankPolicy<Rank, BySquareRootOfRank> {
  static constexpr std::string_view name = "rslora";
};

static_assert(AdapterPolicy<RsLoRA<8>> && AdapterPolicy<RsLoRA<>>);

}  // namespace sdlora
