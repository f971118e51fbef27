#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../../error.hpp"
#include "unicode_text.hpp"

namespace sdlora::detail {

/// A tokenizer's regular expression, by PCRE2. White space, letters and numbers are those of CharacterTable,
/// and not PCRE2's own.
class SplitPattern {
 public:
  /// ArgumentError where PCRE2 does not take the pattern.
  explicit SplitPattern(const std::string& pattern) { compile(translated(pattern)); }

  /// What literal text matches.
  static SplitPattern literal(std::string_view text) {
    std::string pattern;
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x80 && std::string_view("\\^$.[]|()?*+{}-# ").find(c) != npos)
        pattern += '\\';
      pattern += c;
    }
    return SplitPattern(pattern);
  }

  /// Calls `use(begin, end)` for the matches in `text`, which is well-formed UTF-8, from left to right; those
  /// of no characters are passed over.
  template <class Use>
  void for_each_match(std::string_view text, const Use& use) const {
    const std::unique_ptr<pcre2_match_data_8, Release> found(
        pcre2_match_data_create_from_pattern_8(code_.get(), nullptr));
    if (found == nullptr) throw Error("matching a tokenizer's pattern: out of memory");
    std::size_t at = 0;
    while (at < text.size()) {
      const int count = pcre2_match_8(code_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(),
                                      at, PCRE2_NO_UTF_CHECK, found.get(), nullptr);
      if (count == PCRE2_ERROR_NOMATCH) break;
      if (count < 0) {
        throw Error("matching a tokenizer's pattern in " + std::to_string(text.size()) +
                    " bytes failed: " + message(count) + "; give the text in shorter pieces");
      }
      const PCRE2_SIZE* const range = pcre2_get_ovector_pointer_8(found.get());
      if (range[1] > range[0]) {
        use(range[0], range[1]);
        at = range[1];
      } else {
        do ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
      }
    }
  }

 private:
  static constexpr auto npos = std::string_view::npos;

  struct Release {
    void operator()(pcre2_code_8* code) const { pcre2_code_free_8(code); }
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free_8(data); }
  };

  SplitPattern() = default;

  void compile(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(pattern.data()), pattern.size(),
                                PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
    if (code_ == nullptr) {
      throw ArgumentError("expected a regular expression that PCRE2 takes, found one with this fault: " +
                          message(error));
    }
    pcre2_jit_compile_8(code_.get(),
                        PCRE2_JIT_COMPLETE);  // without it, as on some systems, matching is slower
  }

  static std::string message(int error) {
    PCRE2_UCHAR8 text[256] = {};
    pcre2_get_error_message_8(error, text, sizeof text);
    return reinterpret_cast<const char*>(text);
  }

  /// The pattern with Unicode's own white space for \s, since PCRE2's has U+180E besides, and with the
  /// letters and numbers for \p{L} and \p{N} that PCRE2's version of Unicode does not know.
  static std::string translated(std::string_view pattern) {
    std::string result;
    std::size_t in_class = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const char c = pattern[i];
      if (c == '[') ++in_class;
      if (c == ']' && in_class > 0) --in_class;
      if (c != '\\' || i + 1 == pattern.size()) {
        result += c;
        continue;
      }
      const std::string_view rest = pattern.substr(i);
      std::string_view name = rest.substr(0, 2);  // an escape that stays as it is, but for these
      for (const std::string_view property : {"\\p{L}", "\\p{N}", "\\P{L}", "\\P{N}"}) {
        if (rest.starts_with(property)) name = property;
      }
      std::string positive;
      if (name == "\\s" || name == "\\S") {
        positive = white_space;
      } else if (name.size() > 2) {
        positive = name[3] == 'L' ? "\\p{L}" + newer_letters() : "\\p{N}" + newer_numbers();
      }
      const bool negated = name[1] == 'S' || name[1] == 'P';
      if (!positive.empty() && in_class == 0) {
        result += (negated ? "[^" : "[") + positive + ']';
      } else if (!positive.empty() && !negated) {
        result += positive;
      } else if (name == "\\S") {
        throw ArgumentError("expected \\S outside of brackets only, found one inside");
      } else {
        result += name;
      }
      i += name.size() - 1;
    }
    return result;
  }

  static constexpr const char* white_space =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

  static const std::string& newer_letters() {
    static const std::string ranges = unknown(CharacterClass::letter, "\\P{L}+");
    return ranges;
  }
  static const std::string& newer_numbers() {
    static const std::string ranges = unknown(CharacterClass::number, "\\P{N}+");
    return ranges;
  }

  /// The characters with the bit that a pattern of PCRE2's finds among them, for a class of a pattern.
  static std::string unknown(std::uint8_t bit, const char* missing) {
    std::string all;
    for (char32_t code = 0; code < 0x110000; ++code) {
      if ((CharacterTable::instance()[code] & bit) != 0) append_utf8(all, code);
    }
    std::string ranges;
    const auto add = [&](char32_t first, char32_t last) {
      char text[32];
      std::snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", static_cast<unsigned>(first),
                    static_cast<unsigned>(last));
      ranges += text;
    };
    SplitPattern pattern;
    pattern.compile(missing);
    pattern.for_each_match(all, [&](std::size_t begin, std::size_t end) {
      auto first = decode_character(std::string_view(all).substr(begin)), last = first;
      for (begin += first.length; begin < end;) {
        const auto next = decode_character(std::string_view(all).substr(begin));
        begin += next.length;
        if (next.code != last.code + 1) {
          add(first.code, last.code);
          first = next;
        }
        last = next;
      }
      add(first.code, last.code);
    });
    return ranges;
  }

  std::unique_ptr<pcre2_code_8, Release> code_;
};

}  // namespace sdlora::detail
