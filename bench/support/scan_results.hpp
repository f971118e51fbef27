#pragma once

// The results of a scan suite, of either device, as bench/scan_report reads them.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace scan_report {

/// One variant on one shape, the fastest of its repetitions. `family`: columns, elements or selective;
/// `what`: a direction or an operator.
struct Result {
  std::string name;  ///< whole, as Google Benchmark gives it
  std::string family, policy, what, scalar;
  std::map<std::string, long> shape;       ///< B, L, D, N, threads, kept_every, segments
  std::string missing;                     ///< "refused", "left out" or "failed" where there are no figures
  std::string label;                       ///< what the variant says of itself
  std::map<std::string, double> counters;  ///< by Google Benchmark's names
  long place = 0;                          ///< among all variants, as they were registered
  double slowest = 0;                      ///< ns of the slowest repetition
  int repetitions = 0;                     ///< those that have figures

  /// A part of the shape, or 0.
  long at(const std::string& key) const {
    const auto found = shape.find(key);
    return found == shape.end() ? 0 : found->second;
  }
  bool has(const std::string& counter) const { return counters.contains(counter); }
  double value(const std::string& counter) const {
    const auto found = counters.find(counter);
    if (found == counters.end()) throw std::runtime_error("a result lacks the counter " + counter);
    return found->second;
  }
  double ns() const { return value("best_ns_per_element"); }
  /// How far repetitions lie apart, at least 1: a lead that is smaller says nothing.
  double spread() const { return slowest / ns(); }

  /// Takes in another repetition of the same variant: the faster one's figures, beside the highest ceilings
  /// that were reached in either.
  void add(const Result& other) {
    if (!other.missing.empty()) return;
    const Result before = *this;
    if (!missing.empty() || other.ns() < ns()) *this = other;
    place = before.place;
    slowest = std::max(before.slowest, other.slowest);
    repetitions = before.repetitions + other.repetitions;
    for (const Result& one : {before, other}) {
      one.raise(*this, "copy_GB_per_s", "of_copy", [](double x, double y) { return x / y; });
      one.raise(*this, "bare_ns_per_element", "of_bare", [](double x, double y) { return y / x; });
    }
  }

 private:
  /// Gives `to` the ceiling that was reached here where it is higher, and makes its share as much smaller.
  /// `less(x, y)`: what part of the ceiling y the ceiling x is.
  template <class F>
  void raise(Result& to, const char* ceiling, const char* share, F&& less) const {
    if (!has(ceiling) || !to.has(ceiling)) return;
    const double part = less(to.value(ceiling), value(ceiling));
    if (!(part < 1)) return;
    to.counters[ceiling] = value(ceiling);
    if (to.has(share)) to.counters[share] *= part;
  }
};

using Results = std::vector<Result>;

/// What a results file holds.
struct Measurements {
  std::map<std::string, std::string> context;  ///< what is text there: the device and its ceilings
  Results results;

  /// GPU programs name their device.
  bool of_gpu() const { return context.contains("device"); }
  std::string about(const std::string& key) const {
    const auto found = context.find(key);
    return found == context.end() ? "unknown" : found->second;
  }
};

inline Result parse(const nlohmann::json& entry) {
  Result r;
  r.name = entry.at("name").get<std::string>();
  std::istringstream name(r.name);
  std::getline(name, r.family, '/');
  std::getline(name, r.policy, '/');
  std::getline(name, r.what, '/');
  std::getline(name, r.scalar, '/');
  for (std::string part; std::getline(name, part, '/');) {
    const auto colon = part.find(':');
    // Google Benchmark itself adds "iterations:…" and "manual_time".
    if (colon != std::string::npos) r.shape[part.substr(0, colon)] = std::stol(part.substr(colon + 1));
  }
  r.label = entry.value("label", "");
  if (entry.value("error_occurred", false)) {
    const auto message = entry.value("error_message", "failed");
    r.missing = message.substr(0, message.find(':'));
    return r;
  }
  for (const auto& [key, value] : entry.items()) {
    if (value.is_number()) r.counters[key] = value.get<double>();
  }
  for (const char* counter : {"best_ns_per_element", "GB_per_s", "copy_GB_per_s", "of_copy"}) {
    if (!r.has(counter)) throw std::runtime_error(r.name + ": lacks the counter " + counter);
  }
  r.slowest = r.ns();
  r.repetitions = 1;
  return r;
}

inline Measurements read(const std::string& source) {
  std::ifstream in(source);
  if (!in) {
    throw std::runtime_error(source + ": cannot be read; it is what scan_variants --benchmark_out=… writes");
  }
  Measurements all;
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(in);
    for (const auto& [key, value] : document.at("context").items()) {
      if (value.is_string()) all.context[key] = value.get<std::string>();
    }
    std::map<std::string, std::size_t> found;
    for (const auto& entry : document.at("benchmarks")) {
      if (entry.value("run_type", "iteration") != "iteration") continue;
      Result one = parse(entry);
      one.place = entry.value("family_index", static_cast<long>(all.results.size()));
      const auto [place, is_new] = found.emplace(one.name, all.results.size());
      if (is_new) {
        all.results.push_back(one);
      } else {
        all.results[place->second].add(one);
      }
    }
  } catch (const std::exception& e) {
    throw std::runtime_error(source + ": expected a whole file that scan_variants wrote; " + e.what());
  }
  if (all.results.empty()) throw std::runtime_error(source + ": holds no benchmarks");
  // Variants that take turns end in any order.
  std::sort(all.results.begin(), all.results.end(),
            [](const Result& a, const Result& b) { return a.place < b.place; });
  return all;
}

inline Results select(const Results& all, const std::function<bool(const Result&)>& keep) {
  Results some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some), keep);
  return some;
}

/// The different values of `key` in the order in which they come first.
template <class Key>
std::vector<std::string> distinct(const Results& results, Key key) {
  std::vector<std::string> names;
  for (const Result& r : results) {
    if (std::find(names.begin(), names.end(), r.*key) == names.end()) names.push_back(r.*key);
  }
  return names;
}

inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 1 ? "%.3f" : value < 10 ? "%.2f" : "%.1f", value);
  return text;
}

}  // namespace scan_report
