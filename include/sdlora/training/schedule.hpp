#pragma once

#include "../error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>

namespace sdlora {

/// How the learning rate falls after its warm-up.
enum class Decay { Constant, Linear, Cosine };

/// What files and command lines call the values of Decay, in their order.
inline constexpr std::string_view decay_names[] = {"constant", "linear", "cosine"};

/// The name of a decay, as "cosine".
constexpr std::string_view decay_name(Decay decay) { return decay_names[static_cast<std::size_t>(decay)]; }

/// The decay of that name. Throws ArgumentError that lists the names.
inline Decay parse_decay(std::string_view name) {
  for (const Decay decay : {Decay::Constant, Decay::Linear, Decay::Cosine}) {
    if (decay_name(decay) == name) return decay;
  }
  throw ArgumentError("Schedule: expected a decay of constant, linear or cosine, found '" +
                      std::string(name) + "'; give one of them");
}

/// The learning rate over a run: it rises linearly for `warm_up` steps, then falls to `floor` times
/// the peak at `steps`.
struct Schedule {
  double peak = 1e-3;
  std::size_t steps = 0;
  std::size_t warm_up = 0;
  Decay decay = Decay::Linear;
  double floor = 0.0;

  /// The rate of step 0, 1, …
  double operator()(std::size_t step) const {
    if (step < warm_up)
      return peak * static_cast<double>(step) / static_cast<double>(std::max<std::size_t>(1, warm_up));
    const double length =
        static_cast<double>(std::max<std::size_t>(1, steps > warm_up ? steps - warm_up : 1));
    const double part = std::min(1.0, static_cast<double>(step - warm_up) / length);
    if (decay == Decay::Constant) return peak;
    const double fall = decay == Decay::Linear ? 1.0 - part : 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    return peak * (floor + (1.0 - floor) * fall);
  }
};

}  // namespace sdlora
