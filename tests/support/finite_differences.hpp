#pragma once

#include "numbers.hpp"
#include "sanitized.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

// Gradients against finite differences in double.
namespace sdlora_test {

/// f'(0) by the central difference of sixth order. At this step its truncation and the rounding of the tiny
/// models' losses are both below 1e-9 of their gradients (measured at steps from 1e-4 to 4e-3).
template <class Function>
double derivative(const Function& f, double step = 5e-4) {
  return (45.0 * (f(step) - f(-step)) - 9.0 * (f(2.0 * step) - f(-2.0 * step)) + f(3.0 * step) -
          f(-3.0 * step)) /
         (60.0 * step);
}

/// Checks `gradient` of `loss()` in `values`: entry by entry (in a large array about `probes` of them, with
/// the largest), and all entries together along a random direction. Errors are relative to the largest
/// gradient. Sanitizers look at what is read and written, for which few entries do.
template <class Loss>
void check_gradient(const std::string& name, std::span<double> values, std::span<const double> gradient,
                    const Loss& loss, double tolerance = 1e-7, std::size_t probes = sanitized ? 3 : 40) {
  CAPTURE(name);
  REQUIRE(values.size() == gradient.size());
  double largest = 0.0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    if (!(std::abs(gradient[i]) <= largest)) largest = std::abs(gradient[i]), at = i;
  }
  REQUIRE(largest > 1e-7);  // or the differences would be noise, and the site would not learn
  double worst = 0.0;
  const auto probe = [&](std::size_t i) {
    const double kept = values[i];
    const double found = derivative([&](double change) {
      values[i] = kept + change;
      return loss();
    });
    values[i] = kept;
    if (!(std::abs(found - gradient[i]) <= worst)) worst = std::abs(found - gradient[i]);
  };
  const std::size_t step = std::max<std::size_t>(1, values.size() / probes);
  for (std::size_t i = 0; i < values.size(); i += step) probe(i);
  probe(at);
  CHECK(worst / largest <= tolerance);

  Normals normals(values.size());
  const std::vector<double> direction =
      normals.vector<double>(values.size(), 1.0 / std::sqrt(static_cast<double>(values.size())));
  const std::vector<double> kept(values.begin(), values.end());
  double along = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) along += direction[i] * gradient[i];
  const double found = derivative([&](double change) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = kept[i] + change * direction[i];
    return loss();
  });
  std::copy(kept.begin(), kept.end(), values.begin());
  CHECK(std::abs(found - along) / largest <= tolerance);
}

}  // namespace sdlora_test
