#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../../error.hpp"

namespace sdlora::detail {

/// A tokenizer's regular expression, by PCRE2. White space is Unicode's White_Space, as for the library that
/// made the file, and not PCRE2's own.
class SplitPattern {
 public:
  /// ArgumentError where PCRE2 does not take the pattern.
  explicit SplitPattern(const std::string& pattern) {
    const std::string translated = with_white_space(pattern);
    int error = 0;
    PCRE2_SIZE at = 0;
    code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(),
                                PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
    if (code_ == nullptr) {
      throw ArgumentError("expected a regular expression that PCRE2 takes, found one with this fault: " +
                          message(error));
    }
    pcre2_jit_compile_8(code_.get(),
                        PCRE2_JIT_COMPLETE);  // without it, as on some systems, matching is slower
  }

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

  static std::string message(int error) {
    PCRE2_UCHAR8 text[256] = {};
    pcre2_get_error_message_8(error, text, sizeof text);
    return reinterpret_cast<const char*>(text);
  }

  /// PCRE2's \s has U+180E besides, which no longer is white space.
  static std::string with_white_space(std::string_view pattern) {
    const std::string_view spaces =
        R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
    std::string result;
    std::size_t in_class = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const char c = pattern[i];
      if (c == '\\' && i + 1 < pattern.size()) {
        const char next = pattern[++i];
        if (next == 's') {
          result += in_class != 0 ? std::string(spaces) : '[' + std::string(spaces) + ']';
        } else if (next == 'S' && in_class == 0) {
          result += "[^" + std::string(spaces) + ']';
        } else if (next == 'S') {
          throw ArgumentError("expected \\S outside of brackets only, found one inside");
        } else {
          result += {c, next};
        }
        continue;
      }
      if (c == '[') ++in_class;
      if (c == ']' && in_class > 0) --in_class;
      result += c;
    }
    return result;
  }

  std::unique_ptr<pcre2_code_8, Release> code_;
};

}  // namespace sdlora::detail
