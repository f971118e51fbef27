#pragma once

// What the suites of both devices share as programs: the selection of shapes, and a line for each variant.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace scan_suite {

/// Which shapes a policy is measured on.
enum class Selection { quick, all };

/// Takes every `name`=VALUE out of the arguments; gives the last VALUE, or `otherwise`.
inline std::string take_option(std::vector<char*>& arguments, std::string_view name,
                               const std::string& otherwise) {
  std::string value = otherwise;
  std::erase_if(arguments, [&](const char* text) {
    const std::string_view argument = text;
    if (argument.size() <= name.size() || !argument.starts_with(name) || argument[name.size()] != '=') {
      return false;
    }
    value = argument.substr(name.size() + 1);
    return true;
  });
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

/// Hands Google Benchmark its options. Gives false, having said which, where it does not know one.
inline bool take_benchmark_options(std::vector<char*>& arguments) {
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  return !benchmark::ReportUnrecognizedArguments(count, arguments.data());
}

/// A line on stderr for each variant, with its place among all.
class ProgressReporter : public benchmark::ConsoleReporter {
 public:
  explicit ProgressReporter(std::size_t count) : ConsoleReporter(OO_Tabular), count_(count) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    if (!runs.empty() && runs.front().benchmark_name() != last_) {
      last_ = runs.front().benchmark_name();
      ++done_;
    }
    for (const Run& run : runs) {
      std::fprintf(stderr, "[%zu/%zu] %s: ", done_, count_, run.benchmark_name().c_str());
      if (run.error_occurred) {
        std::fprintf(stderr, "%s\n", run.error_message.c_str());
        failures_ += run.error_message.starts_with("failed") ? 1U : 0U;
        continue;
      }
      const auto found = [&](const char* name) {
        const auto place = run.counters.find(name);
        return place == run.counters.end() ? 0.0 : static_cast<double>(place->second);
      };
      std::fprintf(stderr, "%.4g ns/element, %.4g GB/s", found("best_ns_per_element"), found("GB_per_s"));
      for (const auto& [name, value] : run.counters) {
        if (!name.starts_with("of_")) continue;
        std::fprintf(stderr, ", %.3f of %s", static_cast<double>(value), name.c_str() + 3);
      }
      std::fputc('\n', stderr);
    }
  }

  /// Variants that failed; one that was refused or left out has not.
  std::size_t failures() const { return failures_; }

 private:
  std::size_t count_, done_ = 0, failures_ = 0;
  std::string last_;
};

}  // namespace scan_suite
