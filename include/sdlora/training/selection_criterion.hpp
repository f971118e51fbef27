#pragma once

#include "../error.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace sdlora {

/// What SDLoRA's first phase ranks the dimensions (channel, state) of A_log by; a channel's score is the sum
/// of its states'. The first two train first, as SelectionOptions says, and read what came of it. The others
/// train nothing. g is the gradient of the mean loss in A_log at the checkpoint's values, of one batch of a
/// pass over the data; means are over these batches.
enum class SelectionCriterion {
  Change,          ///< the square of how far A_log moved: as published (arXiv 2410.09016v1)
  Decay,           ///< Ā² of Ā = exp(−softplus(dt_bias)·exp(A_log)), as its final paper: what lasts long
  Magnitude,       ///< |A| = exp(A_log): what is forgotten fast
  Gradient,        ///< |mean g|
  GradientWeight,  ///< |mean g · A_log|: what the loss would change by without the value, to first order
  Fisher,          ///< mean g²
  Gain,     ///< (mean g)² / √(mean g²): what a step of AdamW would gain, to first order; this library's own
  Ablation  ///< by how much the loss on a step's examples rises where A_log is 10, which ends all memory
};

/// What files and command lines call the criteria, in their order.
inline constexpr std::string_view selection_criterion_names[] = {
    "change", "decay", "magnitude", "gradient", "gradient-weight", "fisher", "gain", "ablation"};

/// The name of a criterion, as "gradient-weight".
constexpr std::string_view selection_criterion_name(SelectionCriterion criterion) {
  return selection_criterion_names[static_cast<std::size_t>(criterion)];
}

/// The criterion of that name. Throws ArgumentError that lists the names.
inline SelectionCriterion parse_selection_criterion(std::string_view name) {
  std::string names;
  std::size_t index = 0;
  for (const std::string_view each : selection_criterion_names) {
    if (each == name) return static_cast<SelectionCriterion>(index);
    names += (index++ == 0 ? "" : ", ") + std::string(each);
  }
  throw ArgumentError("selection score: expected one of " + names + ", found '" + std::string(name) +
                      "'; give one of them");
}

/// Whether a criterion reads what training came to.
constexpr bool trains_first(SelectionCriterion criterion) {
  return criterion == SelectionCriterion::Change || criterion == SelectionCriterion::Decay;
}

}  // namespace sdlora
