#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "../error.hpp"
#include "json.hpp"

namespace sdlora {

/// Calls `use(object, place)` with every line of a JSONL file, an object each; `place` is
/// "line 7", for errors. Blank lines are passed over. One line is in memory at a time. FileError
/// where the file is missing or empty, or a line is not strict JSON (see `parse_json`) or no object.
template <class Use>
void for_each_json_line(const std::filesystem::path& path, const Use& use,
                        const JsonLimits& limits = {.max_values = 4'000'000}) {
  const std::string name = path.string();
  std::error_code status;
  if (!std::filesystem::is_regular_file(path, status)) {
    throw FileError(name, "",
                    std::filesystem::exists(path, status)
                        ? "expected a JSONL file, found a directory, pipe or device; give a file"
                        : "no such file; check the path");
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) {
    throw FileError(
        name, "",
        "opening failed: " + std::generic_category().message(errno) + "; check the path and its permissions");
  }

  std::size_t number = 0, used = 0;
  const auto take = [&](std::string_view line) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const nlohmann::json document =
        parse_json(line, {.file = name, .first_line = number, .one_line = true}, limits);
    const std::string place = "line " + std::to_string(number);
    use(JsonObject(document, name, "", place), place);
    ++used;
  };

  std::string line;
  std::unique_ptr<char[]> buffer(new char[std::size_t{1} << 16]);
  for (;;) {
    const std::size_t count = std::fread(buffer.get(), 1, std::size_t{1} << 16, file.get());
    if (count == 0) break;
    std::string_view rest(buffer.get(), count);
    for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      line += rest.substr(0, end);
      take(line);
      line.clear();
      rest.remove_prefix(end + 1);
    }
    line += rest;
    if (line.size() > limits.max_bytes) {
      throw FileError(
          name, "line " + std::to_string(number + 1),
          "longer than " + std::to_string(limits.max_bytes) + " bytes, the most that is read here; split it");
    }
  }
  if (std::ferror(file.get()) != 0)
    throw FileError(name, "line " + std::to_string(number + 1), "reading failed; check the disk");
  if (!line.empty()) take(line);
  if (used == 0)
    throw FileError(name, "line 1", "expected JSON objects, one a line, found none; fill the file");
}

}  // namespace sdlora
