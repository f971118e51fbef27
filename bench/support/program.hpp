#pragma once

// What the suites of both devices share as programs: the selection of shapes, and a line for each variant.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace scan_suite {

/// Which shapes a policy is measured on.
enum class Selection { quick, all };

/// Takes every `name`=VALUE and `name` VALUE out of the arguments; gives the last VALUE, or `otherwise`.
inline std::string take_option(std::vector<char*>& arguments, std::string_view name,
                               const std::string& otherwise) {
  std::string value = otherwise;
  for (auto place = arguments.begin(); place != arguments.end();) {
    const std::string_view argument = *place;
    const bool alone = argument == name && place + 1 != arguments.end();
    if (!alone &&
        !(argument.size() > name.size() && argument.starts_with(name) && argument[name.size()] == '=')) {
      ++place;
      continue;
    }
    value = alone ? *(place + 1) : argument.substr(name.size() + 1);
    place = arguments.erase(place, place + (alone ? 2 : 1));
  }
  return value;
}

/// Takes --selection=quick|all out of the arguments. Gives false, having said why, where it is neither.
inline bool take_selection(std::vector<char*>& arguments, Selection& selection) {
  const std::string text = take_option(arguments, "--selection", "quick");
  selection = text == "all" ? Selection::all : Selection::quick;
  if (text == "all" || text == "quick") return true;
  std::fprintf(stderr, "--selection: expected quick or all, found '%s'\n", text.c_str());
  return false;
}

/// Lets variants take turns, unless the arguments say otherwise: each runs three times, 17 ms at the least,
/// those of all variants in random order, so that a slow minute of the machine is no one variant's.
inline void take_turns(std::vector<char*>& arguments) {
  static std::array<std::string, 3> options{"--benchmark_enable_random_interleaving=true",
                                            "--benchmark_repetitions=3", "--benchmark_min_time=0.017"};
  auto place = arguments.begin();  // behind the program's name, and before what outdoes them
  for (std::string& option : options) place = arguments.insert(place + 1, option.data());
}

/// Hands Google Benchmark its options. Gives false, having said which, where it does not know one.
inline bool take_benchmark_options(std::vector<char*>& arguments) {
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  return !benchmark::ReportUnrecognizedArguments(count, arguments.data());
}

/// Why a run has no figures; empty where it has. Google Benchmark 1.8 renamed what says so.
template <class Run>
std::string why_without_figures(const Run& run) {
  if constexpr (requires { run.error_occurred; }) {
    return run.error_occurred ? run.error_message : std::string();
  } else {
    return static_cast<int>(run.skipped) != 0 ? run.skip_message : std::string();
  }
}

/// What the fastest run of a variant reached.
struct Fastest {
  std::string name;
  double ns_per_element = 0, of_copy = 0;
};

/// A line on stderr for each variant, with its place among all: the fastest of its repetitions.
class ProgressReporter : public benchmark::ConsoleReporter {
 public:
  explicit ProgressReporter(std::size_t count) : ConsoleReporter(OO_Tabular), count_(count) {}

  /// Called with all repetitions of a variant; those in `runs` that are means and the like are passed over.
  void ReportRuns(const std::vector<Run>& runs) override {
    const Run* fastest = nullptr;
    double best = 0, slowest = 0;
    std::string name, missing;
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      name = run.benchmark_name();
      const std::string why = why_without_figures(run);
      if (!why.empty()) {
        if (why.starts_with("failed") || missing.empty()) missing = why;
        continue;
      }
      const double ns = counter(run, "best_ns_per_element");
      if (!fastest || ns < best) {
        fastest = &run;
        best = ns;
      }
      slowest = std::max(slowest, ns);
    }
    if (name.empty()) return;
    std::fprintf(stderr, "[%zu/%zu] %s: ", ++done_, count_, name.c_str());
    failures_ += missing.starts_with("failed") ? 1U : 0U;
    if (fastest) {
      reached_.push_back({name, best, counter(*fastest, "of_copy")});
      std::fprintf(stderr, "%.4g ns/element, %.4g GB/s", best, counter(*fastest, "GB_per_s"));
      for (const auto& [key, value] : fastest->counters) {
        if (!key.starts_with("of_")) continue;
        std::fprintf(stderr, ", %.3f of %s", static_cast<double>(value), key.c_str() + 3);
      }
      if (runs.size() > 1) std::fprintf(stderr, ", spread %.3f", slowest / best);
    }
    std::fprintf(stderr, "%s%s\n", fastest && !missing.empty() ? "; " : "", missing.c_str());
  }

  /// Variants that failed; one that was refused or left out has not.
  std::size_t failures() const { return failures_; }
  /// Those that have figures, in the order in which they ended.
  const std::vector<Fastest>& reached() const { return reached_; }

 private:
  static double counter(const Run& run, const char* name) {
    const auto place = run.counters.find(name);
    return place == run.counters.end() ? 0.0 : static_cast<double>(place->second);
  }

  std::size_t count_, done_ = 0, failures_ = 0;
  std::vector<Fastest> reached_;
};

/// Runs the `count` variants that are registered.
inline ProgressReporter run_registered(std::size_t count) {
  ProgressReporter progress(count);
  benchmark::RunSpecifiedBenchmarks(&progress);
  benchmark::Shutdown();
  return progress;
}

}  // namespace scan_suite
