#pragma once

#include "../version.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <ostream>
#include <string>
#include <utility>

namespace sdlora {

/// A duration for people: "7 s", "3:05", "2:00:09".
inline std::string duration_text(double seconds) {
  const auto whole = std::llround(std::clamp(seconds, 0.0, 3.6e8));
  char text[40];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return text;
}

/// Whether the stream is one of the standard ones and shows on a terminal.
inline bool is_terminal(const std::ostream& out) {
  if (&out == &std::cout) return ::isatty(STDOUT_FILENO) == 1;
  if (&out == &std::cerr || &out == &std::clog) return ::isatty(STDERR_FILENO) == 1;
  return false;
}

/// Shows how far a run is: on a terminal one line that is drawn over and over, elsewhere a plain
/// line every few seconds. Loss is smoothed over about the last 20 steps; the time that is left
/// follows from the pace so far.
class Progress {
 public:
  /// For a run of steps `first` to `total`; `label` begins every line.
  Progress(std::ostream& out, std::string label, std::size_t total, std::size_t first = 0)
      : Progress(out, std::move(label), total, first, is_terminal(out)) {}
  Progress(std::ostream& out, std::string label, std::size_t total, std::size_t first, bool terminal)
      : out_(&out), label_(std::move(label)), total_(total), first_(first), terminal_(terminal) {}

  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// After `step` steps, `seconds` after the beginning of this run.
  void update(std::size_t step, double loss, std::uint64_t tokens, double seconds) {
    smoothed_ = begun_ ? smoothed_ + 0.05 * (loss - smoothed_) : loss;
    begun_ = true;
    tokens_ += tokens;
    const double wait = terminal_ ? 0.1 : 5.0;
    if (step < total_ && shown_ >= 0.0 && seconds - shown_ < wait) return;
    shown_ = seconds;
    show(text(step, seconds));
    if (step >= total_) finish();
  }

  /// A line of its own between the others.
  void note(const std::string& line) {
    clear();
    *out_ << line << '\n' << std::flush;
  }

  /// Ends the line on a terminal.
  void finish() {
    if (drawn_ > 0) *out_ << '\n' << std::flush;
    drawn_ = 0;
  }

 private:
  std::string text(std::size_t step, double seconds) const {
    const double done = static_cast<double>(step - std::min(step, first_));
    const double left =
        done > 0.0 ? seconds / done * static_cast<double>(total_ - std::min(step, total_)) : 0.0;
    const double rate = seconds > 0.0 ? static_cast<double>(tokens_) / seconds : 0.0;
    std::string line = label_;
    if (terminal_) {
      constexpr std::size_t width = 20;
      const std::size_t filled = total_ == 0 ? width : width * std::min(step, total_) / total_;
      line += " [" + std::string(filled, '#') + std::string(width - filled, '.') + "]";
    }
    char numbers[160];
    std::snprintf(numbers, sizeof numbers, " %zu/%zu  loss %.4f  %.0f tokens/s  ", step, total_, smoothed_,
                  rate);
    line += numbers;
    return line + (step >= total_ ? duration_text(seconds) + " in all" : duration_text(left) + " left");
  }

  void show(const std::string& line) {
    if (!terminal_) {
      *out_ << line << '\n' << std::flush;
      return;
    }
    const std::size_t rest = drawn_ > line.size() ? drawn_ - line.size() : 0;
    *out_ << '\r' << line << std::string(rest, ' ') << std::flush;
    drawn_ = line.size();
  }

  void clear() {
    if (drawn_ > 0) *out_ << '\r' << std::string(drawn_, ' ') << '\r';
    drawn_ = 0;
  }

  std::ostream* out_;
  std::string label_;
  std::size_t total_;
  std::size_t first_;
  bool terminal_;
  double smoothed_ = 0.0;
  bool begun_ = false;
  std::uint64_t tokens_ = 0;
  double shown_ = -1.0;
  std::size_t drawn_ = 0;
};

/// Seconds since its construction, by a clock that never jumps.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace sdlora
