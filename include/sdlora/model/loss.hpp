#pragma once

#include "../version.hpp"

#include <cstddef>

namespace sdlora {

/// A sum of negative log-likelihoods, in nats, and how many predictions it has.
struct Loss {
  double sum = 0.0;
  std::size_t count = 0;
  /// In nats per prediction; 0 where there is none (and then the perplexity is 1).
  double mean() const { return count == 0 ? 0.0 : sum / static_cast<double>(count); }
};

}  // namespace sdlora
