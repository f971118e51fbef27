#pragma once

#include "../adapters/parameter_store.hpp"
#include "../text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iomanip>
#include <ostream>
#include <string>
#include <vector>

namespace sdlora {

/// What learns at one site of a model.
struct SiteCoverage {
  std::string site;                 ///< as "out_proj"
  std::vector<std::size_t> layers;  ///< ascending; empty for a site that a model has once
  std::size_t parameters = 0;       ///< in all of these layers

  friend bool operator==(const SiteCoverage&, const SiteCoverage&) = default;
};

/// What a model learns, site by site, in the order of its parameters.
template <class T, class D>
std::vector<SiteCoverage> coverage(const ParameterStore<T, D>& store) {
  std::vector<SiteCoverage> result;
  for (const ParameterInfo& entry : store.entries()) {
    const auto same_site = [&](const SiteCoverage& c) { return c.site == entry.site; };
    auto found = std::find_if(result.begin(), result.end(), same_site);
    if (found == result.end()) found = result.insert(found, SiteCoverage{entry.site, {}, 0});
    found->parameters += entry.size();
    if (!entry.layer) continue;
    const auto place = std::lower_bound(found->layers.begin(), found->layers.end(), *entry.layer);
    if (place == found->layers.end() || *place != *entry.layer) found->layers.insert(place, *entry.layer);
  }
  return result;
}

namespace detail {

/// {0, 1, 2, 5} as "0-2,5".
inline std::string joined_ranges(const std::vector<std::size_t>& ascending) {
  std::string text;
  for (std::size_t i = 0; i < ascending.size();) {
    std::size_t last = i;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1) ++last;
    // Piece by piece: g++ 12 warns users of "," + to_string(…) (its false positive).
    if (!text.empty()) text += ',';
    text += std::to_string(ascending[i]);
    if (last > i) text.append("-").append(std::to_string(ascending[last]));
    i = last + 1;
  }
  return text;
}

inline std::string percentage(std::size_t part, std::size_t whole) {
  char text[32];
  const double percent = whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  std::snprintf(text, sizeof text, "%.4f %%", percent);
  return text;
}

}  // namespace detail

/// Prints a line per site that learns (its layers, its parameters and their share of the
/// checkpoint's), and a line for all: so that a site or layer left out by mistake is seen. Options that
/// change nothing in this model are named below them.
template <class Model>
void print_coverage(std::ostream& out, const Model& model) {
  struct Line {
    std::string site, layers, parameters, share;
  };
  const std::size_t all = model.total_parameters();
  std::vector<Line> lines{{"site", "layers", "parameters", "of the checkpoint"}};
  for (const SiteCoverage& c : coverage(model.parameters())) {
    lines.push_back({c.site, c.layers.empty() ? "model" : detail::joined_ranges(c.layers),
                     detail::grouped_digits(c.parameters), detail::percentage(c.parameters, all)});
  }
  const std::size_t learned = model.parameters().size();
  lines.push_back({"all", "", detail::grouped_digits(learned), detail::percentage(learned, all)});

  std::size_t widths[4] = {};
  for (const Line& line : lines) {
    widths[0] = std::max(widths[0], line.site.size());
    widths[1] = std::max(widths[1], line.layers.size());
    widths[2] = std::max(widths[2], line.parameters.size());
    widths[3] = std::max(widths[3], line.share.size());
  }
  const auto width = [&](std::size_t i) { return std::setw(static_cast<int>(widths[i])); };
  const std::ios_base::fmtflags before = out.flags();
  for (const Line& line : lines) {
    out << std::left << width(0) << line.site << "  " << width(1) << line.layers << "  " << std::right
        << width(2) << line.parameters << "  " << width(3) << line.share << '\n';
  }
  out.flags(before);
  if constexpr (requires { model.options_without_effect(); }) {
    for (const std::string& option : model.options_without_effect()) {
      out << "without effect in this placement: " << option << '\n';
    }
  }
}

}  // namespace sdlora
