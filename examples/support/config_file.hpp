#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace sdlora::examples {

/// One setting of a configuration file.
struct ConfigEntry {
  std::string key;
  std::string value;  ///< the elements of a list with commas between them
  std::size_t line = 0;
};

/// Reads `key = value` lines, as TOML and INI have them: numbers, true and false, "text" with \n, \t, \" and
/// \\, 'text as it is', bare words, and [lists] of these on one line. What follows # or ; outside of quotes
/// is a comment. FileError for what is none of these, for sections, and for a key that comes twice.
std::vector<ConfigEntry> read_config_file(const std::filesystem::path& path);

}  // namespace sdlora::examples
