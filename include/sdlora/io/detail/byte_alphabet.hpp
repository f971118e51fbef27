#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sdlora::detail {

/// The printable characters by which byte-level tokenizers write bytes: bytes that are printable in Latin-1
/// stand for themselves, the others are U+0100, U+0101, … in order.
class ByteAlphabet {
 public:
  static constexpr std::size_t characters = 0x144;

  static const ByteAlphabet& instance() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }

  /// The code point that stands for a byte.
  char32_t code(unsigned char byte) const { return codes_[byte]; }

  /// A byte's character as UTF-8.
  std::string text(unsigned char byte) const {
    const auto character = static_cast<unsigned>(codes_[byte]);
    if (character < 0x80) return {static_cast<char>(character)};
    return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
  }

  /// The bytes that well-formed UTF-8 stands for; nothing where a character is not in the alphabet.
  std::optional<std::string> bytes(std::string_view text) const {
    std::string result;
    result.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
      auto code = static_cast<unsigned>(static_cast<unsigned char>(text[i]));
      if (code >= 0xE0) return std::nullopt;
      if (code >= 0x80) {
        if (++i == text.size()) return std::nullopt;
        code = (code & 0x1F) << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
      }
      if (code >= characters || bytes_[code] < 0) return std::nullopt;
      result += static_cast<char>(static_cast<unsigned char>(bytes_[code]));
    }
    return result;
  }

 private:
  ByteAlphabet() {
    bytes_.fill(-1);
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      codes_[byte] = printable ? byte : next++;
      bytes_[codes_[byte]] = static_cast<std::int16_t>(byte);
    }
  }

  std::array<char32_t, 256> codes_{};
  std::array<std::int16_t, characters> bytes_{};
};

}  // namespace sdlora::detail
