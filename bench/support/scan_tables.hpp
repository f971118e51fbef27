#pragma once

// The tables of bench/scan_report, the same for both devices.

#include "scan_results.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <ostream>
#include <string>
#include <utility>
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

/// Whether it is a scan of given a and b. The fused scan does other work and is no candidate.
inline bool is_candidate(const Result& r) {
  return r.missing.empty() && !r.policy.starts_with("fused_selective");
}

/// What candidates on one shape are judged by: the fastest, and those that it leads by no more than its own
/// repetitions lie apart.
struct Verdict {
  const Result* best = nullptr;
  std::vector<std::string> level;  ///< policies, the best one's too

  explicit Verdict(const std::vector<const Result*>& candidates) {
    for (const Result* r : candidates) {
      if (!best || r->ns() < best->ns()) best = r;
    }
    for (const Result* r : candidates) {
      if (r->ns() <= best->slowest) level.push_back(r->policy);
    }
  }
  bool has(const std::string& policy) const {
    return std::find(level.begin(), level.end(), policy) != level.end();
  }
  /// The winner's name, or all that none of them leads.
  std::string text() const {
    if (level.size() == 1) return level.front();
    std::string names;
    for (const auto& policy : level) names += (names.empty() ? "none: " : ", ") + policy;
    return names;
  }
};

/// The rows of a table: per shape, one result per policy.
using Rows = std::map<std::vector<long>, std::map<std::string, Result>>;

inline Rows rows_of(const Results& results, const Style& style) {
  Rows rows;
  for (const Result& r : results) rows[shape_key(r, style)].emplace(r.policy, r);
  return rows;
}

inline Verdict judge(const std::map<std::string, Result>& row, const std::vector<std::string>& policies) {
  std::vector<const Result*> candidates;
  for (const auto& policy : policies) {
    const auto found = row.find(policy);
    if (found != row.end() && is_candidate(found->second)) candidates.push_back(&found->second);
  }
  return Verdict(candidates);
}

/// One row per shape, one column per policy, time per element; bold is the best of a row, and what it leads
/// by less than the spread of its repetitions.
inline void table(std::ostream& out, const Results& results, const Style& style) {
  const auto policies = distinct(results, &Result::policy);
  auto names = style.parts;
  names.insert(names.end(), policies.begin(), policies.end());
  write_head(out, names);
  for (const auto& [key, row] : rows_of(results, style)) {
    const Verdict verdict = judge(row, policies);
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
        cells.push_back(verdict.has(policy) ? "**" + text + "**" : text);
      }
    }
    write_row(out, cells);
  }
  out << '\n';
}

/// The winner of each shape beside the ceilings, or those between which the spread does not tell. `shares`
/// are counters and what their columns are called.
inline void winners(std::ostream& out, const Results& results, const Style& style,
                    const std::vector<std::pair<std::string, std::string>>& shares) {
  auto names = style.parts;
  names.insert(names.end(), {"winner", style.unit, "spread", "GB/s", "copy GB/s"});
  for (const auto& [counter, name] : shares) names.push_back(name);
  write_head(out, names);
  for (const auto& [key, row] : rows_of(results, style)) {
    const Verdict verdict = judge(row, distinct(results, &Result::policy));
    if (!verdict.best) continue;
    const Result& r = *verdict.best;
    std::vector<std::string> cells;
    for (const long value : key) cells.push_back(std::to_string(value));
    cells.insert(cells.end(),
                 {verdict.text(), number(r.ns() * style.scale), r.repetitions > 1 ? number(r.spread()) : "",
                  number(r.value("GB_per_s")), number(r.value("copy_GB_per_s"))});
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
