#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../text.hpp"
#include "detail/lfs_pointer.hpp"
#include "detail/strict_json_builder.hpp"
#include "mapped_file.hpp"
#include "utf8.hpp"

namespace sdlora {

/// What strict reading accepts. The limits bound the memory that a hostile file can ask for.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{16} << 20;  // of text
  std::size_t max_depth = 64;                     // of arrays and objects inside each other
  std::size_t max_values = 2'000'000;             // numbers, strings, arrays, objects in all
  bool python_numbers = false;                    // of files: Infinity, -Infinity, NaN are read, as strings
};

/// Where a JSON text comes from, for errors.
struct JsonOrigin {
  std::string file;
  std::string part = {};       // "header" for a text inside a larger file
  std::size_t first_line = 1;  // number of the text's first line
  std::size_t first_byte = 0;  // offset of the text in the file
  bool one_line = false;       // a line of a JSONL file: no byte offsets
};

namespace detail {

/// "line 3, column 14 (byte 57)" of the text's byte `at`.
inline std::string json_place(const JsonOrigin& origin, std::string_view text, std::size_t at) {
  std::size_t line = origin.first_line, line_begin = 0;
  for (std::size_t i = 0; i < at && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      line_begin = i + 1;
    }
  }
  std::string place = origin.part.empty() ? "" : origin.part + ", ";
  place += "line " + std::to_string(line) + ", column " + std::to_string(at - line_begin + 1);
  if (!origin.one_line) place += " (byte " + std::to_string(origin.first_byte + at) + ")";
  return place;
}

/// JSON as Python's module writes it by default, its words for numbers that JSON lacks put into quotes.
inline std::string quote_python_numbers(std::string_view text) {
  std::string result;
  bool inside = false;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = 1;
    if (inside) {
      if (text[i] == '\\' && i + 1 < text.size()) length = 2;
      inside = text[i] != '"';
    } else {
      inside = text[i] == '"';
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (text.substr(i).starts_with(word)) length = word.size();
      }
    }
    const std::string_view part = text.substr(i, length);
    if (length > 2) {
      result.append(1, '"').append(part).append(1, '"');
    } else {
      result += part;
    }
    i += length;
  }
  return result;
}

}  // namespace detail

/// `text`, which must be UTF-8, as a JSON string in its quotes.
inline std::string json_string(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (c == '\n') {
      result += "\\n";
    } else if (u < 0x20) {
      result += {'\\', 'u', '0', '0', digits[u >> 4], digits[u & 15]};
    } else {
      result += c;
    }
  }
  return result + '"';
}

/// Reads one JSON text (RFC 8259) strictly: equal keys in one object, malformed UTF-8, comments,
/// numbers outside of double, anything after the value, and whatever passes the limits are
/// FileErrors that say at which line and byte.
inline nlohmann::json parse_json(std::string_view text, const JsonOrigin& origin,
                                 const JsonLimits& limits = {}) {
  if (text.size() > limits.max_bytes) {
    throw FileError(origin.file, origin.part,
                    std::to_string(text.size()) + " bytes of JSON, the most that is read here is " +
                        std::to_string(limits.max_bytes) + "; this cannot be the file that was meant");
  }
  if (text.empty()) {
    throw FileError(origin.file, origin.part, "expected JSON, found nothing; write or copy the file again");
  }
  // The parser would take a zero byte for the end of the text.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    throw FileError(origin.file, detail::json_place(origin, text, zero),
                    "expected strict JSON, found a zero byte; write or copy the file again");
  }
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* seen = begin;
  detail::StrictJsonBuilder builder(limits.max_depth, limits.max_values);
  // Not json::sax_parse, which takes the format at run time and so compiles readers of five binary ones, too.
  const auto input = [&] {
    return nlohmann::detail::input_adapter(detail::CountingIterator(begin, &seen),
                                           detail::CountingIterator(end, &seen));
  };
  nlohmann::detail::parser<nlohmann::json, decltype(input())> parser(input());
  if (!parser.sax_parse(&builder)) {
    auto at = static_cast<std::size_t>(seen - begin);
    if (at > 0) --at;  // `seen` is one past the character that was wrong
    throw FileError(origin.file, detail::json_place(origin, text, at), builder.error());
  }
  return builder.take();
}

/// The whole text of a small file. FileError where it is missing, not a regular file or longer
/// than `max_bytes`.
inline std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > max_bytes) {
    throw FileError(path.string(), "",
                    std::to_string(bytes.size()) + " bytes, the most that is read here is " +
                        std::to_string(max_bytes) + "; this cannot be the file that was meant");
  }
  return bytes.empty() ? std::string()
                       : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Reads a JSON file strictly (see `parse_json`), but for what `limits` allow.
inline nlohmann::json read_json(const std::filesystem::path& path, const JsonLimits& limits = {}) {
  std::string text = read_text_file(path, limits.max_bytes);
  detail::refuse_lfs_pointer(text, path.string());
  if (limits.python_numbers) text = detail::quote_python_numbers(text);
  return parse_json(text, {.file = path.string()}, limits);
}

/// A JSON object with the file and place that it comes from, for typed access with errors that name
/// them. It refers to the value, which must outlive it. Values that are null count as absent.
class JsonObject {
 public:
  /// FileError where `value` is not an object. `place` is the path to it inside the file, empty at
  /// the top; `line` is where the JSON text itself stands, as "line 7" of a JSONL file.
  JsonObject(const nlohmann::json& value, std::string file, std::string place = "", std::string line = "")
      : value_(&value), file_(std::move(file)), place_(std::move(place)), line_(std::move(line)) {
    if (!value.is_object()) fail_type("an object", value, in_line(place_));
  }
  JsonObject(nlohmann::json&&, std::string, std::string = "", std::string = "") = delete;

  const nlohmann::json& value() const { return *value_; }
  const std::string& file() const { return file_; }

  /// The path of a field inside the file: `ssm_cfg.d_state`.
  std::string path_of(std::string_view key) const {
    return (place_.empty() ? "" : place_ + ".") + detail::printable(key);
  }

  /// The raw value under a key; nothing where it is absent or null.
  const nlohmann::json* find(std::string_view key) const {
    const auto& fields = value_->get_ref<const nlohmann::json::object_t&>();
    const auto found = fields.find(key);
    return found == fields.end() || found->second.is_null() ? nullptr : &found->second;
  }

  bool contains(std::string_view key) const { return find(key) != nullptr; }

  /// The value of a field that may be absent. T: bool, std::string, an integer type (range
  /// checked), double, or a vector of those. FileError where the type is another.
  template <class T>
  std::optional<T> optional(std::string_view key) const {
    const nlohmann::json* found = find(key);
    if (found == nullptr) return std::nullopt;
    return convert<T>(*found, field(key));
  }

  /// The value of a field that must be there.
  template <class T>
  T required(std::string_view key) const {
    return convert<T>(at(key, type_name<T>()), field(key));
  }

  /// The object under a key.
  JsonObject object(std::string_view key) const { return {at(key, "an object"), file_, path_of(key), line_}; }

  /// The object under a key that may be absent.
  std::optional<JsonObject> optional_object(std::string_view key) const {
    if (!contains(key)) return std::nullopt;
    return object(key);
  }

  /// Throws a FileError about a field.
  [[noreturn]] void fail(std::string_view key, const std::string& what) const {
    throw FileError(file_, field(key), what);
  }

 private:
  /// "line 7, field a.b", for errors.
  std::string field(std::string_view key) const { return in_line("field " + path_of(key)); }
  std::string in_line(const std::string& place) const {
    return line_ + (line_.empty() || place.empty() ? "" : ", ") + place;
  }

  template <class T>
  struct is_vector : std::false_type {};
  template <class T>
  struct is_vector<std::vector<T>> : std::true_type {};

  template <class T>
  static std::string type_name() {
    if constexpr (std::same_as<T, bool>) {
      return "true or false";
    } else if constexpr (std::same_as<T, std::string>) {
      return "a string";
    } else if constexpr (std::integral<T>) {
      return "an integer from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
             std::to_string(std::numeric_limits<T>::max());
    } else if constexpr (std::floating_point<T>) {
      return "a number";
    } else {
      static_assert(is_vector<T>::value,
                    "sdlora::JsonObject: read bool, numbers, strings or vectors of them");
      return "an array";
    }
  }

  const nlohmann::json& at(std::string_view key, const std::string& expected) const {
    const nlohmann::json* found = find(key);
    if (found == nullptr) fail(key, "expected " + expected + ", but the field is missing; add it");
    return *found;
  }

  static std::string describe(const nlohmann::json& found) {
    if (found.is_boolean()) return *found.get_ptr<const bool*>() ? "true" : "false";
    if (found.is_number_unsigned()) return std::to_string(*found.get_ptr<const std::uint64_t*>());
    if (found.is_number_integer()) return std::to_string(*found.get_ptr<const std::int64_t*>());
    if (found.is_number_float()) {
      const std::string text = detail::short_number(*found.get_ptr<const double*>());
      return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
    }
    if (found.is_string()) return detail::in_quotes(found.get_ref<const std::string&>());
    return found.type_name();
  }

  [[noreturn]] void fail_type(const std::string& expected, const nlohmann::json& found,
                              const std::string& place) const {
    const std::string text = describe(found);
    throw FileError(file_, place, "expected " + expected + ", found " + text + "; correct it");
  }

  /// Whether `from` is a T; `to` is then its value.
  template <class T>
  static bool get(const nlohmann::json& from, T& to) {
    if constexpr (std::same_as<T, bool>) {
      if (!from.is_boolean()) return false;
      to = *from.get_ptr<const bool*>();
      return true;
    } else if constexpr (std::same_as<T, std::string>) {
      if (!from.is_string()) return false;
      to = from.get_ref<const std::string&>();
      return true;
    } else if constexpr (std::integral<T>) {
      const auto take = [&to](auto value) {
        if (!std::in_range<T>(value)) return false;
        to = static_cast<T>(value);
        return true;
      };
      if (from.is_number_unsigned()) return take(*from.get_ptr<const std::uint64_t*>());
      return from.is_number_integer() && take(*from.get_ptr<const std::int64_t*>());
    } else {
      if (from.is_number_float()) {
        to = static_cast<T>(*from.get_ptr<const double*>());
      } else if (from.is_number_unsigned()) {
        to = static_cast<T>(*from.get_ptr<const std::uint64_t*>());
      } else if (from.is_number_integer()) {
        to = static_cast<T>(*from.get_ptr<const std::int64_t*>());
      } else {
        return false;
      }
      return true;
    }
  }

  template <class T>
  T convert(const nlohmann::json& from, const std::string& place) const {
    T result{};
    if constexpr (is_vector<T>::value) {
      using Element = typename T::value_type;
      if (!from.is_array()) fail_type(type_name<T>(), from, place);
      const auto& array = from.get_ref<const nlohmann::json::array_t&>();
      result.resize(array.size());
      for (std::size_t i = 0; i < array.size(); ++i) {
        if (!get(array[i], result[i])) {
          fail_type(type_name<Element>(), array[i], place + "[" + std::to_string(i) + "]");
        }
      }
    } else {
      if (!get(from, result)) fail_type(type_name<T>(), from, place);
    }
    return result;
  }

  const nlohmann::json* value_;
  std::string file_;
  std::string place_;
  std::string line_;
};

}  // namespace sdlora
