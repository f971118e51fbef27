#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora::examples {

/// How many characters have to be inserted, removed or replaced to make `b` of `a` (Levenshtein's distance).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// The name that somebody who wrote `text` may have meant, or an empty text where none is near.
inline std::string nearest(std::string_view text, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = 1 + text.size() / 3;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(text, name);
    if (distance > least || (distance == least && !best.empty())) continue;
    least = distance;
    best = name;
  }
  return best;
}

}  // namespace sdlora::examples
