#include "config_file.hpp"

#include <algorithm>
#include <sdlora/error.hpp>
#include <sdlora/io/input_file.hpp>
#include <string_view>

namespace sdlora::examples {

namespace {

/// Reads the value behind "=" of one line.
class ValueReader {
 public:
  ValueReader(std::string_view rest, std::string file, std::string place)
      : rest_(rest), file_(std::move(file)), place_(std::move(place)) {}

  std::string read() {
    skip_spaces();
    std::string value;
    if (rest_.starts_with('[')) {
      rest_.remove_prefix(1);
      value = list();
    } else {
      value = element("#;");
    }
    skip_spaces();
    if (!rest_.empty() && rest_[0] != '#' && rest_[0] != ';')
      refuse("nothing but a comment behind the value, found '" + std::string(rest_) + "'");
    return value;
  }

 private:
  [[noreturn]] void refuse(const std::string& expected) const {
    throw FileError(file_, place_,
                    "expected " + expected + R"(; write key = 1, key = "text" or key = [1, 2])");
  }

  void skip_spaces() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }

  std::string list() {
    std::string values;
    for (bool first = true;; first = false) {
      skip_spaces();
      if (rest_.starts_with(']')) break;
      if (!first) values += ',';
      const std::string value = element(",]#;");
      if (value.find(',') != std::string::npos)
        refuse("elements without commas in them, found '" + value + "'");
      values += value;
      skip_spaces();
      if (rest_.starts_with(',')) {
        rest_.remove_prefix(1);
      } else if (!rest_.starts_with(']')) {
        refuse("a list that ends in ] on the same line");
      }
    }
    rest_.remove_prefix(1);
    return values;
  }

  /// A text in quotes, or what stands before one of `ends`.
  std::string element(std::string_view ends) {
    if (rest_.starts_with('"') || rest_.starts_with('\'')) return quoted(rest_[0]);
    const std::size_t end = std::min(rest_.find_first_of(ends), rest_.size());
    std::string_view word = rest_.substr(0, end);
    while (!word.empty() && (word.back() == ' ' || word.back() == '\t')) word.remove_suffix(1);
    if (word.empty()) refuse("a value, found none");
    if (word.find_first_of("\"'") != std::string_view::npos)
      refuse("quotes around the whole value, found '" + std::string(word) + "'");
    rest_.remove_prefix(end);
    return std::string(word);
  }

  std::string quoted(char quote) {
    std::string text;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      if (quote == '\'' || rest_[i] != '\\') {
        text += rest_[i];
        continue;
      }
      const char next = ++i < rest_.size() ? rest_[i] : '\0';
      if (next != 'n' && next != 't' && next != '"' && next != '\\')
        refuse(R"(\n, \t, \" or \\ in quotes, found another character behind a \)");
      text += next == 'n' ? '\n' : next == 't' ? '\t' : next;
    }
    refuse(std::string("a text that ends in ") + quote + " on the same line");
  }

  std::string_view rest_;
  std::string file_, place_;
};

}  // namespace

std::vector<ConfigEntry> read_config_file(const std::filesystem::path& path) {
  LineReader lines(path, std::size_t{1} << 20);
  std::vector<ConfigEntry> entries;
  for (std::string line; lines.next_text(line);) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#' || line[first] == ';') continue;
    const std::size_t equals = line.find('=');
    if (line[first] == '[') {
      throw FileError(lines.name(), lines.place(),
                      "expected key = value, found a section; give each command a file of its own");
    }
    std::string key = equals == std::string::npos ? "" : line.substr(first, equals - first);
    while (key.ends_with(' ') || key.ends_with('\t')) key.pop_back();
    if (key.empty()) {
      throw FileError(lines.name(), lines.place(),
                      "expected key = value, found '" + line.substr(first) + "'; complete the line");
    }
    std::replace(key.begin(), key.end(), '_', '-');
    const auto known = std::find_if(entries.begin(), entries.end(),
                                    [&](const ConfigEntry& entry) { return entry.key == key; });
    if (known != entries.end()) {
      throw FileError(lines.name(), lines.place(),
                      "expected each key once, found '" + key + "' again, as in line " +
                          std::to_string(known->line) + "; remove one of them");
    }
    ValueReader value(std::string_view(line).substr(equals + 1), lines.name(), lines.place());
    entries.push_back({key, value.read(), lines.number()});
  }
  return entries;
}

}  // namespace sdlora::examples
