#pragma once

// The tables of bench/scan_report, the same for both devices.

#include "scan_results.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace scan_report {

/// How results of one device are shown: `parts` of the shape a row has, and ns times what an element's time
/// is given in.
struct Style {
  std::vector<std::string> parts;
  double scale = 1;
  std::string unit = "ns/element";
};

inline std::vector<long> shape_key(const Result& r, const Style& style) {
  std::vector<long> key;
  for (const auto& part : style.parts) key.push_back(r.at(part));
  return key;
}

inline void write_row(std::ostream& out, const std::vector<std::string>& cells) {
  out << '|';
  for (const auto& cell : cells) out << (cell.empty() ? "" : " ") << cell << " |";
  out << '\n';
}

inline void write_head(std::ostream& out, const std::vector<std::string>& names) {
  write_row(out, names);
  out << '|';
  for (std::size_t i = 0; i < names.size(); ++i) out << "---|";
  out << '\n';
}

/// One row per shape, one column per policy, time per element; the best of a row is bold. The fused scan is
/// not among the candidates: it does other work.
inline void table(std::ostream& out, const Results& results, const Style& style) {
  const auto policies = distinct(results, &Result::policy);
  std::map<std::vector<long>, std::map<std::string, Result>> rows;
  for (const Result& r : results) rows[shape_key(r, style)].emplace(r.policy, r);
  auto names = style.parts;
  names.insert(names.end(), policies.begin(), policies.end());
  write_head(out, names);
  for (const auto& [key, row] : rows) {
    double best = INFINITY;
    for (const auto& [policy, r] : row) {
      if (r.missing.empty() && policy != "fused_selective") best = std::min(best, r.ns());
    }
    std::vector<std::string> cells;
    for (const long value : key) cells.push_back(std::to_string(value));
    for (const auto& policy : policies) {
      const auto found = row.find(policy);
      if (found == row.end()) {
        cells.emplace_back();
      } else if (!found->second.missing.empty()) {
        cells.push_back(found->second.missing);
      } else {
        const std::string text = number(found->second.ns() * style.scale);
        cells.push_back(found->second.ns() == best ? "**" + text + "**" : text);
      }
    }
    write_row(out, cells);
  }
  out << '\n';
}

/// The winner of each shape beside the ceilings. `shares` are counters and what their columns are called.
inline void winners(std::ostream& out, const Results& results, const Style& style,
                    const std::vector<std::pair<std::string, std::string>>& shares) {
  std::map<std::vector<long>, Result> best;
  for (const Result& r : results) {
    if (!r.missing.empty() || r.policy == "fused_selective") continue;
    const auto [place, is_new] = best.emplace(shape_key(r, style), r);
    if (!is_new && r.ns() < place->second.ns()) place->second = r;
  }
  auto names = style.parts;
  names.insert(names.end(), {"winner", style.unit, "GB/s", "copy GB/s"});
  for (const auto& [counter, name] : shares) names.push_back(name);
  write_head(out, names);
  for (const auto& [key, r] : best) {
    std::vector<std::string> cells;
    for (const long value : key) cells.push_back(std::to_string(value));
    cells.insert(cells.end(), {r.policy, number(r.ns() * style.scale), number(r.value("GB_per_s")),
                               number(r.value("copy_GB_per_s"))});
    for (const auto& [counter, name] : shares) cells.push_back(number(r.value(counter)));
    write_row(out, cells);
  }
  out << '\n';
}

/// f(direction, scalar, results) for each that the columns were measured in.
template <class F>
void for_each_kind_of_columns(const Results& all, F&& f) {
  for (const std::string scalar : {"float", "double", "bfloat16"}) {
    for (const std::string direction : {"forward", "backward"}) {
      const auto some = select(all, [&](const Result& r) {
        return r.family == "columns" && r.what == direction && r.scalar == scalar;
      });
      if (!some.empty()) f(direction, scalar, some);
    }
  }
}

}  // namespace scan_report
