#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <vector>

namespace sdlora::examples {

/// The next rate of 1, 3, 10, 30, … upwards or downwards.
inline double next_rate(double rate, bool up) {
  const double mantissa = rate / std::pow(10.0, std::floor(std::log10(rate * 1.001)));
  const bool one = mantissa < 2.0;
  char text[32];
  std::snprintf(text, sizeof text, "%.1g",
                up ? rate * (one ? 3.0 : 10.0 / 3.0) : rate / (one ? 10.0 / 3.0 : 3.0));
  return std::strtod(text, nullptr);
}

/// The rate that a search chose, and all that it tried, ascending.
struct ChosenRate {
  double rate = 0.0;
  std::vector<double> tried = {};
};

/// The best of `rates`, which has at least one, by `accuracy(rate)`, of equals the lowest. As long as that is
/// the first or the last of them, the next one beyond is tried as well, until one is no better.
template <class Accuracy>
ChosenRate choose_rate(const std::vector<double>& rates, const Accuracy& accuracy) {
  std::map<double, double> tried;
  for (const double rate : rates) tried[rate] = accuracy(rate);
  const auto better = [](const auto& a, const auto& b) { return a.second < b.second; };
  auto best = std::max_element(tried.begin(), tried.end(), better);
  for (;;) {
    const bool last = std::next(best) == tried.end();
    if (!last && best != tried.begin()) break;
    const double rate = next_rate(best->first, last);
    const auto beyond = tried.emplace(rate, accuracy(rate)).first;
    // Equal is not better: below some rate nothing learns, and all further ones are equal.
    if (beyond->second > best->second) {
      best = beyond;
    } else if (!last || best != tried.begin()) {  // an only rate has another side
      break;
    }
  }
  ChosenRate chosen{best->first};
  for (const auto& [rate, measured] : tried) chosen.tried.push_back(rate);
  return chosen;
}

}  // namespace sdlora::examples
