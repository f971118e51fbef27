#pragma once

#include <sdlora/error.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// What is fuzzed: the readers of files. All targets are one program, fuzz, in which SDLORA_FUZZ chooses one.
// An input is well where the reader takes it or throws an sdlora::Error. Everything else ends the program:
// other exceptions, what the sanitizers find, too much memory or time.
namespace fuzz {

/// What an input is made of, so that the mutations keep it readable for a while.
enum class Parts : std::uint8_t {
  bytes,
  words,                 ///< a text
  json,                  ///< one JSON text
  json_lines,            ///< one in each line
  safetensors,           ///< a file of tensors
  json_and_bytes,        ///< a line of JSON, then any bytes
  json_and_safetensors,  ///< a line of JSON, then a file of tensors
};

struct Target {
  std::string_view name;  ///< and that of the folder of its corpus, if it has one
  Parts parts;
  void (*read)(std::string_view input);  ///< throws an sdlora::Error where it is refused
  std::vector<std::string> (*seeds)() = [] { return std::vector<std::string>(); };  ///< inputs that are read
};

/// All targets; each unit adds its own.
std::vector<Target>& targets();
inline bool add(const Target& target) {
  targets().push_back(target);
  return true;
}

/// A folder for inputs; the one that starts the program removes it.
const std::filesystem::path& folder();
/// Writes the bytes under the name there and returns the path.
std::filesystem::path write(const char* name, std::string_view bytes);
std::string content(const std::filesystem::path& path);
/// A file of tests/reference/data.
std::filesystem::path reference(const char* name);

/// Calls what may be refused.
template <class Act>
bool accepted(const Act& act) {
  try {
    act();
    return true;
  } catch (const sdlora::Error&) {
    return false;
  }
}

/// The first line, which is then taken from `text`.
inline std::string_view first_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

/// Puts the JSON into one line before the rest.
std::string with_line(std::string_view json, std::string_view rest);

}  // namespace fuzz
