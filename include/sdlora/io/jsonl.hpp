#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "../error.hpp"
#include "input_file.hpp"
#include "json.hpp"

namespace sdlora {

/// Calls `use(object, place)` with every line of a JSONL file, an object each; `place` is
/// "line 7", for errors. The file is an InputFile: pipes, "-" and gzip as well. Blank lines are passed over.
/// One line is in memory at a time. FileError where the file is missing or empty, or a line is not strict
/// JSON (see `parse_json`) or no object; of a file that is one JSON text over many lines it says how to
/// convert it.
template <class Use>
void for_each_json_line(const std::filesystem::path& path, const Use& use,
                        const JsonLimits& limits = {.max_values = 4'000'000}) {
  LineReader lines(path, limits.max_bytes);
  const std::string& name = lines.name();
  std::size_t used = 0;
  std::string line;
  while (lines.next(line)) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    const std::string place = lines.place();
    const auto refuse = [&](const char* found, const char* filter) {
      throw FileError(name, place,
                      std::string("expected an object in each line (JSONL), found ") + found +
                          "; convert the file: jq -c '" + filter + "' FILE > data.jsonl");
    };
    if (used == 0 && line[first] == '[')
      refuse("an array, as of a file that is one array of all objects", ".[]");
    if (used == 0 && line[first] == '{' && line.find_first_not_of(" \t\r", first + 1) == std::string::npos)
      refuse("an object that goes on in further lines", ".");
    if (used == 0 && line[first] != '{') {
      throw FileError(
          name, place,
          "expected an object in each line (JSONL), found " +
              detail::in_quotes(std::string_view(line).substr(first, 40)) +
              "; files of other kinds are known by their names (.csv, .tsv, .txt), or name the format");
    }
    const nlohmann::json document =
        parse_json(line, {.file = name, .first_line = lines.number(), .one_line = true}, limits);
    use(JsonObject(document, name, "", place), place);
    ++used;
  }
  if (used == 0)
    throw FileError(name, "line 1", "expected JSON objects, one a line, found none; fill the file");
}

}  // namespace sdlora
