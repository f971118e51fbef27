#pragma once

#include "../version.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace sdlora {

/// The best evaluation of a run so far, the smallest, and how many have been made since.
template <class T>
struct BestEvaluation {
  double value = std::numeric_limits<double>::infinity();
  std::uint64_t step = 0;          ///< after which it was made; 0: there is none yet
  std::uint64_t since = 0;         ///< evaluations after it that were no better
  std::vector<T> parameters = {};  ///< all that learned, as it was then; empty where a run does not keep it

  /// Takes the evaluation after `now` steps. Whether it is the best; one that is no number never is.
  bool update(std::uint64_t now, double found) {
    if (!(found < value)) {
      ++since;
      return false;
    }
    value = found;
    step = now;
    since = 0;
    return true;
  }
};

}  // namespace sdlora
