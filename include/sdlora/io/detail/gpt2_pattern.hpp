#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "unicode_text.hpp"

namespace sdlora::detail {

/// The pattern of GPT-2, which GPT-NeoX and Falcon have as well, without a regular expression: several times
/// as fast as one.
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class Gpt2Pattern {
 public:
  static constexpr std::string_view regex =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

  Gpt2Pattern() : table_(&CharacterTable::instance()) {}

  /// Calls `use(begin, end)` for the matches in `text`, well-formed UTF-8; together they are all of it.
  template <class Use>
  void for_each_match(std::string_view text, const Use& use) const {
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t end = match(text, at);
      use(at, end);
      at = end;
    }
  }

 private:
  static constexpr std::uint8_t kinds =
      CharacterClass::letter | CharacterClass::number | CharacterClass::space;

  struct Found {
    std::uint8_t kind;  // letter, number, space or none of them
    std::size_t length;
  };
  Found at(std::string_view text, std::size_t i) const {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) return {static_cast<std::uint8_t>((*table_)[first] & kinds), 1};
    const auto [code, length] = decode_character(text.substr(i));
    return {static_cast<std::uint8_t>((*table_)[code] & kinds), length};
  }

  std::size_t match(std::string_view text, std::size_t begin) const {
    std::size_t i = begin;
    if (text[i] == '\'') {
      if (const std::size_t length = contraction(text.substr(i)); length != 0) return i + length;
    }
    Found here = at(text, i);
    if (text[i] == ' ' && i + 1 < text.size()) {
      const Found next = at(text, i + 1);
      if (next.kind != CharacterClass::space) {
        here = next;
        ++i;
      }
    }
    std::size_t last = i;
    for (const std::uint8_t kind = here.kind; here.kind == kind;) {
      last = i;
      i += here.length;
      if (i == text.size()) return i;
      here = at(text, i);
    }
    // White space leaves its last character to what follows, unless it has no other.
    const bool space = at(text, begin).kind == CharacterClass::space && last != begin &&
                       at(text, last).kind == CharacterClass::space;
    return space ? last : i;
  }

  static std::size_t contraction(std::string_view text) {
    if (text.size() < 2) return 0;
    if (const char c = text[1]; c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    const std::string_view two = text.substr(1, 2);
    return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
  }

  const CharacterTable* table_;
};

}  // namespace sdlora::detail
