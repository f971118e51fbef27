#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sdlora {

/// The offset of the first byte that does not begin or continue well-formed UTF-8 (Unicode 15,
/// table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF); npos where all is well.
inline std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  while (i < text.size()) {
    const unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    std::size_t length = 0;
    unsigned char low = 0x80, high = 0xBF;  // bounds of the second byte
    if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return i;
    }
    if (text.size() - i < length) return i;
    for (std::size_t k = 1; k < length; ++k) {
      if (byte(i + k) < low || byte(i + k) > high) return i;
      low = 0x80;
      high = 0xBF;
    }
    i += length;
  }
  return std::string_view::npos;
}

namespace detail {

/// `text` made fit for one line of an error message: control characters and malformed bytes as
/// \xNN, at most `limit` bytes.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
  constexpr char digits[] = "0123456789abcdef";
  const bool cut = text.size() > limit;
  if (cut) text = text.substr(0, limit);
  std::string result;
  while (!text.empty()) {
    const std::size_t bad = find_invalid_utf8(text);
    for (const char c : text.substr(0, bad)) {
      const auto u = static_cast<unsigned char>(c);
      if (u < 0x20 || u == 0x7F) {
        result += {'\\', 'x', digits[u >> 4], digits[u & 15]};
      } else {
        result += c;
      }
    }
    if (bad == std::string_view::npos) break;
    if (!cut || text.size() - bad > 3) {  // at the cut, half of a character is nobody's fault
      const auto u = static_cast<unsigned char>(text[bad]);
      result += {'\\', 'x', digits[u >> 4], digits[u & 15]};
    }
    text.remove_prefix(bad + 1);
  }
  if (cut) result += "...";
  return result;
}

/// `printable` in double quotes.
inline std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

}  // namespace detail
}  // namespace sdlora
