#pragma once

#include "../error.hpp"
#include "../io/atomic_file.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sdlora {

/// What happens in a run, as JSONL: one object of numbers a line, "step" first. Each line reaches
/// the file whole, as soon as it is written. Without a path nothing is written.
class MetricsLog {
 public:
  MetricsLog() = default;

  /// Begins a new log, or, to go on after step `keep_to`, keeps the earlier one's lines up to it.
  /// FileError where the file cannot be written.
  explicit MetricsLog(const std::filesystem::path& path, std::optional<std::uint64_t> keep_to = {})
      : path_(path) {
    if (path.empty()) return;
    write_file(path, keep_to ? lines_up_to(path, *keep_to) : std::string());
    file_.open(path, std::ios::binary | std::ios::app);
    require();
  }

  /// Writes one line; a value that is not finite becomes null.
  void write(std::uint64_t step, std::initializer_list<std::pair<std::string_view, double>> values) {
    if (!file_.is_open()) return;
    std::string line = "{\"step\": " + std::to_string(step);
    for (const auto& [name, value] : values) {
      line += ", \"";
      line += name;
      line += "\": ";
      char digits[32];
      const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
      line +=
          std::isfinite(value) ? std::string_view(digits, static_cast<std::size_t>(end - digits)) : "null";
    }
    file_ << line + "}\n" << std::flush;
    require();
  }

 private:
  void require() const {
    if (!file_) {
      throw FileError(path_.string(), "",
                      "writing the metrics log failed; check the folder and the free space");
    }
  }

  /// Complete lines whose step is at most `last`: what a run wrote after its last checkpoint, and a
  /// line that it was killed in, are written again by the run that goes on.
  static std::string lines_up_to(const std::filesystem::path& path, std::uint64_t last) {
    constexpr std::string_view begin = "{\"step\": ";
    std::ifstream file(path, std::ios::binary);
    std::string kept;
    std::string line;
    while (std::getline(file, line) && !file.eof()) {
      std::uint64_t step = 0;
      if (!line.starts_with(begin)) continue;
      const char* digits = line.data() + begin.size();
      if (std::from_chars(digits, line.data() + line.size(), step).ec != std::errc() || step > last) continue;
      kept += line + "\n";
    }
    return kept;
  }

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace sdlora
