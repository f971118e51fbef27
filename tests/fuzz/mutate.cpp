#include "mutate.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace fuzz {
namespace {

using nlohmann::json;
using Random = std::mt19937;

std::string mutate_bytes(std::string text) {
  const std::size_t size = text.size();
  text.resize(size + 16);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
  return text;
}

std::string written(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct Node {
  json* value;
  json* parent;     // an object or array; null at the top
  std::string key;  // in an object
};

void collect(json& value, json* parent, const std::string& key, std::vector<Node>& to) {
  to.push_back({&value, parent, key});
  if (value.is_object()) {
    for (auto& [name, inner] : value.get_ref<json::object_t&>()) collect(inner, &value, name, to);
  } else if (value.is_array()) {
    for (json& inner : value) collect(inner, &value, {}, to);
  }
}

json any_value(Random& random) {
  static const json values[] = {nullptr,
                                true,
                                false,
                                0,
                                1,
                                -1,
                                2,
                                7,
                                255,
                                65536,
                                16777217,
                                2147483647,
                                -2147483649,
                                4294967296,
                                std::numeric_limits<std::int64_t>::max(),
                                std::numeric_limits<std::int64_t>::min(),
                                std::numeric_limits<std::uint64_t>::max(),
                                std::numeric_limits<std::uint64_t>::max() / 4 + 1,
                                0.5,
                                -0.0,
                                1e-320,
                                1e300,
                                -1e300,
                                3e9,
                                "",
                                "a",
                                "0",
                                "auto",
                                "\xC3\xA9\xF0\x9F\x98\x80",
                                std::string("\0", 1),
                                json::array(),
                                json::object(),
                                json::array({0, 1}),
                                json::array({json::array({nullptr})}),
                                json::object({{"", 1}})};
  return values[random() % std::size(values)];
}

/// Replaces, repeats or removes a word, a number or a sign of a text, or puts one before it: most texts that
/// this makes can still be read.
std::string mutate_words(std::string_view text, Random& random) {
  const auto kind = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '<' ? 1 : c == ' ' ? 2 : 0;
  };
  std::vector<std::string_view> words;
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = begin + 1;
    while (end < text.size() && kind(text[end]) != 0 && kind(text[end]) == kind(text[begin])) ++end;
    words.push_back(text.substr(begin, end - begin));
  }
  if (words.empty()) return {};
  static constexpr std::string_view others[] = {
      "0",  "1",  "9", "-", "-9", "99999999999999999999", "(", ")", "not", "[", "]", "{", "}", "'", "\"", ",",
      "\n", "\t", "|", "*", "+"};
  for (std::size_t n = 1 + random() % 3; n > 0; --n) {
    std::string_view& word = words[random() % words.size()];
    const std::string_view other =
        random() % 2 == 0 ? others[random() % std::size(others)] : words[random() % words.size()];
    if (random() % 2 == 0) {
      word = random() % 4 == 0 ? std::string_view() : other;
    } else {
      words.insert(words.begin() + static_cast<std::ptrdiff_t>(random() % words.size()), other);
    }
  }
  std::string result;
  for (const std::string_view word : words) result += word;
  return result;
}

bool change(json& document, Random& random);

void change_value(json& value, Random& random) {
  if (value.is_string()) {
    auto& text = value.get_ref<std::string&>();
    json inner = json::parse(text, nullptr, false);
    if (inner.is_structured() && random() % 4 != 0 && change(inner, random)) {
      text = written(inner);
    } else {
      text = random() % 2 == 0 ? mutate_words(text, random) : mutate_bytes(std::move(text));
    }
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::uint64_t>();
    const std::uint64_t others[] = {number + 1, number - 1, number * 2,  number / 2,
                                    0 - number, number + 8, number << 32};
    const auto shift = random() % 64;
    const std::uint64_t other =
        random() % 2 == 0 ? others[random() % std::size(others)] : (std::uint64_t{1} << shift) - random() % 3;
    value = random() % 2 == 0 ? json(other) : json(static_cast<std::int64_t>(other));
  } else {
    value = any_value(random);
  }
}

/// One change of one node.
bool change(json& document, Random& random) {
  std::vector<Node> nodes;
  collect(document, nullptr, {}, nodes);
  const Node& node = nodes.size() == 1 ? nodes[0] : nodes[1 + random() % (nodes.size() - 1)];
  const json other = *nodes[random() % nodes.size()].value;
  switch (random() % 7) {
    case 0:
      *node.value = any_value(random);
      break;
    case 1:
      *node.value = other;
      break;
    case 2:  // away with it
      if (node.parent == nullptr) return false;
      if (node.parent->is_object()) {
        node.parent->erase(node.key);
      } else {
        node.parent->erase(static_cast<std::size_t>(node.value - &(*node.parent)[0]));
      }
      break;
    case 3:  // under another key, or twice
      if (node.parent == nullptr) return false;
      if (node.parent->is_object()) {
        json moved = std::move(*node.value);
        node.parent->erase(node.key);
        const Node& named = nodes[random() % nodes.size()];
        const auto kind = random() % 3;
        const std::string key = kind == 0   ? mutate_bytes(node.key)
                                : kind == 1 ? mutate_words(node.key, random)
                                            : std::string(named.key);
        (*node.parent)[key] = std::move(moved);
      } else {
        node.parent->push_back(json(*node.value));
      }
      break;
    default:
      change_value(*node.value, random);
  }
  return true;
}

std::string mutate_json(std::string_view text, Random& random) {
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return {};
  for (std::size_t n = 1 + random() % 3; n > 0; --n) {
    if (!change(document, random)) return {};
  }
  return written(document);
}

std::string mutate_safetensors(std::string_view input, Random& random) {
  std::uint64_t length = 0;
  if (input.size() < sizeof length) return {};
  std::memcpy(&length, input.data(), sizeof length);
  input.remove_prefix(sizeof length);
  if (length > input.size()) return {};
  std::string header(input.substr(0, length)), values(input.substr(length));
  if (random() % 8 == 0) {
    values = mutate_bytes(std::move(values));
  } else {
    header = mutate_json(header, random);
    if (header.empty()) return {};
  }
  length = header.size();
  std::string result(sizeof length, '\0');
  std::memcpy(result.data(), &length, sizeof length);
  return result + header + values;
}

}  // namespace

std::string with_line(std::string_view text, std::string_view rest) {
  return written(json::parse(text)) + '\n' + std::string(rest);
}

std::string mutate(std::string_view input, Parts parts, std::uint32_t seed) {
  Random random(seed);
  switch (parts) {
    case Parts::bytes:
      return {};
    case Parts::words:
      return mutate_words(input, random);
    case Parts::json:
      return mutate_json(input, random);
    case Parts::json_lines: {
      std::vector<std::string> lines;
      while (!input.empty()) lines.emplace_back(first_line(input));
      if (lines.empty()) return {};
      std::string& line = lines[random() % lines.size()];
      line = mutate_json(line, random);
      std::string all;
      for (const std::string& each : lines) all += each + '\n';
      return all;
    }
    case Parts::safetensors:
      return mutate_safetensors(input, random);
    default:
      break;
  }
  std::string line(first_line(input)), rest(input);
  if (random() % 2 == 0) {
    line = mutate_json(line, random);
  } else if (parts == Parts::json_and_bytes) {
    rest = random() % 2 == 0 ? mutate_words(rest, random) : mutate_bytes(std::move(rest));
  } else {
    rest = mutate_safetensors(rest, random);
  }
  return line.empty() || (rest.empty() && parts == Parts::json_and_safetensors) ? std::string()
                                                                                : line + '\n' + rest;
}

}  // namespace fuzz
