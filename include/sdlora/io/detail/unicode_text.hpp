#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../../error.hpp"

namespace sdlora::detail {

/// What a tokenizer asks of a character, as bits.
struct CharacterClass {
  enum Bit : std::uint8_t {
    letter = 1,         // \p{L}
    number = 2,         // \p{N}
    space = 4,          // White_Space
    punctuation = 8,    // \p{P}, or ASCII punctuation
    word = 16,          // \w
    unsettled = 32,     // NFC may change it, or join it to what stands before it
    newer_mark = 64,    // combines by today's Unicode, but is left as it stands
    newer_number = 128  // a number only for the Digits pre-tokenizer
  };
};

/// A character's code point and how many bytes it has. `text` is well-formed UTF-8 and not empty.
struct DecodedCharacter {
  char32_t code;
  std::size_t length;
};

inline DecodedCharacter decode_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

inline void append_utf8(std::string& text, char32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

/// The last character's first byte. `text` is well-formed UTF-8 and not empty.
inline std::size_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

/// The classes of all code points, by utf8proc's tables and what sets the `tokenizers` library apart from
/// them. Its parts know different versions of Unicode: letters and numbers of its patterns are those of 16,
/// punctuation that of 8, and what NFC reorders and composes is that of 9. Checkpoints were trained with
/// that, so it is followed.
class CharacterTable {
 public:
  static const CharacterTable& instance() {
    static const CharacterTable table;
    return table;
  }

  std::uint8_t operator[](char32_t code) const { return classes_[code]; }

 private:
  struct Range {
    char32_t first, last;
  };
  static constexpr char32_t size = 0x110000;

  // In Unicode 16, where utf8proc knows 15.
  static constexpr Range newer_letters[] = {
      {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
      {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
      {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
      {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
      {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
  static constexpr Range newer_numbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                            {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                            {0x1E5F1, 0x1E5FA}};
  // In Unicode 17.
  static constexpr Range newest_numbers[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
  // Punctuation since Unicode 9, and what was punctuation until then.
  static constexpr Range newer_punctuation[] = {
      {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},     {0xC84, 0xC84},
      {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},   {0x10D6E, 0x10D6E},
      {0x10EAD, 0x10EAD}, {0x10ED0, 0x10ED0}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x113D4, 0x113D8},
      {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
      {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C},
      {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11BE1, 0x11BE1}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71},
      {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16D6D, 0x16D6F},
      {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E5FF, 0x1E5FF}, {0x1E95E, 0x1E95F}};
  static constexpr Range older_punctuation[] = {{0x166D, 0x166D}, {0x111C9, 0x111C9}};
  // What is reordered or composed since Unicode 10.
  static constexpr Range newer_marks[] = {
      {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
      {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AEB},   {0x1DF6, 0x1DFA},
      {0xA82C, 0xA82C},   {0x105C0, 0x105F3}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC},
      {0x10EFA, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
      {0x11380, 0x113E2}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11943}, {0x119E0, 0x119E0},
      {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
      {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1611E, 0x1612F}, {0x16D63, 0x16D6A}, {0x16FF0, 0x16FF1},
      {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
      {0x1E5EE, 0x1E5EF}};
  // Letters among the symbols, for \w.
  static constexpr Range lettered_symbols[] = {
      {0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
  static constexpr Range spaces[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                     {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                     {0x205F, 0x205F}, {0x3000, 0x3000}};

  CharacterTable() : classes_(size) {
    for (char32_t code = 0; code < size; ++code) classes_[code] = class_of(code);
    set(newer_letters, CharacterClass::letter | CharacterClass::word);
    set(newer_numbers, CharacterClass::number | CharacterClass::word);
    set(newest_numbers, CharacterClass::newer_number);
    set(older_punctuation, CharacterClass::punctuation);
    set(lettered_symbols, CharacterClass::word);
    set(spaces, CharacterClass::space);
    clear(newer_punctuation, CharacterClass::punctuation);
    set(newer_marks, CharacterClass::newer_mark);
    clear(newer_marks, CharacterClass::unsettled);
  }

  static std::uint8_t class_of(char32_t code) {
    const auto signed_code = static_cast<utf8proc_int32_t>(code);
    std::uint8_t bits = 0;
    switch (utf8proc_category(signed_code)) {
      case UTF8PROC_CATEGORY_LU:
      case UTF8PROC_CATEGORY_LL:
      case UTF8PROC_CATEGORY_LT:
      case UTF8PROC_CATEGORY_LM:
      case UTF8PROC_CATEGORY_LO:
        bits = CharacterClass::letter | CharacterClass::word;
        break;
      case UTF8PROC_CATEGORY_ND:
      case UTF8PROC_CATEGORY_NL:
        bits = CharacterClass::number | CharacterClass::word;
        break;
      case UTF8PROC_CATEGORY_NO:
        bits = CharacterClass::number;
        break;
      case UTF8PROC_CATEGORY_PC:
        bits = CharacterClass::punctuation | CharacterClass::word;
        break;
      case UTF8PROC_CATEGORY_PD:
      case UTF8PROC_CATEGORY_PS:
      case UTF8PROC_CATEGORY_PE:
      case UTF8PROC_CATEGORY_PI:
      case UTF8PROC_CATEGORY_PF:
      case UTF8PROC_CATEGORY_PO:
        bits = CharacterClass::punctuation;
        break;
      case UTF8PROC_CATEGORY_MN:
      case UTF8PROC_CATEGORY_MC:
      case UTF8PROC_CATEGORY_ME:
        bits = CharacterClass::word | CharacterClass::unsettled;
        break;
      case UTF8PROC_CATEGORY_CN:
      case UTF8PROC_CATEGORY_CO:
      case UTF8PROC_CATEGORY_CS:
        return 0;
      default:
        break;
    }
    if (code < 0x80) {
      const bool letter_or_number = (bits & (CharacterClass::letter | CharacterClass::number)) != 0;
      if (code > 0x20 && code < 0x7F && !letter_or_number) bits |= CharacterClass::punctuation;
      return bits;
    }
    if (utf8proc_get_property(signed_code)->combining_class != 0 || (code >= 0x1160 && code <= 0x11FF) ||
        changed_by_nfc(signed_code)) {
      bits |= CharacterClass::unsettled;
    }
    return bits;
  }

  static bool changed_by_nfc(utf8proc_int32_t code) {
    utf8proc_int32_t buffer[8];
    int boundary = 0;
    const auto parts = utf8proc_decompose_char(
        code, buffer, 8, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
    if (parts == 1 && buffer[0] == code) return false;
    if (parts < 1 || parts > 8) return true;
    const auto composed =
        utf8proc_normalize_utf32(buffer, parts, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    return composed != 1 || buffer[0] != code;
  }

  void set(std::span<const Range> ranges, int bits) {
    for (const Range& range : ranges) {
      for (char32_t code = range.first; code <= range.last; ++code)
        classes_[code] = static_cast<std::uint8_t>(classes_[code] | bits);
    }
  }
  void clear(std::span<const Range> ranges, int bits) {
    for (const Range& range : ranges) {
      for (char32_t code = range.first; code <= range.last; ++code)
        classes_[code] = static_cast<std::uint8_t>(classes_[code] & ~bits);
    }
  }

  std::vector<std::uint8_t> classes_;
};

/// The normal forms of Unicode.
enum class NormalForm : std::uint8_t { none, nfc, nfd, nfkc, nfkd };

/// Brings text into a normal form, in n log n at worst. `newer_mark`s stay as they are, and nothing is
/// moved or composed across them.
class Normalizer {
 public:
  explicit Normalizer(NormalForm form = NormalForm::none)
      : form_(form), table_(&CharacterTable::instance()) {}

  NormalForm form() const { return form_; }

  /// `text` itself where nothing changes, else a view of `buffer`. `text` is well-formed UTF-8.
  std::string_view operator()(std::string_view text, std::string& buffer) const {
    if (form_ == NormalForm::none || settled(text)) return text;
    buffer.clear();
    std::vector<utf8proc_int32_t> span;
    std::size_t copied = 0, last_starter = 0, at = 0;
    bool has_starter = false;
    while (at < text.size()) {
      const auto [code, length] = decode_character(text.substr(at));
      if (!moves(code)) {
        has_starter = ((*table_)[code] & CharacterClass::newer_mark) == 0;
        last_starter = at;
        at += length;
        continue;
      }
      // From the character before, which these may join, to the next that stands for itself.
      const std::size_t begin = has_starter ? last_starter : at;
      buffer += text.substr(copied, begin - copied);
      span.clear();
      at = begin;
      for (bool first = has_starter; at < text.size(); first = false) {
        const auto next = decode_character(text.substr(at));
        if (!first && !moves(next.code)) break;
        decompose(next.code, span);
        at += next.length;
      }
      append_composed(span, buffer);
      copied = at;
      has_starter = false;
    }
    buffer += text.substr(copied);
    return buffer;
  }

 private:
  /// Whether NFC leaves the text alone, seen from its bytes: all is below U+0300.
  bool settled(std::string_view text) const {
    const unsigned char limit = form_ == NormalForm::nfc ? 0xCC : 0x80;
    unsigned char highest = 0;
    for (const char c : text) highest = std::max(highest, static_cast<unsigned char>(c));
    return highest < limit;
  }

  bool moves(char32_t code) const {
    const std::uint8_t bits = (*table_)[code];
    if ((bits & CharacterClass::newer_mark) != 0) return false;
    return form_ == NormalForm::nfc ? (bits & CharacterClass::unsettled) != 0 : code >= 0x80;
  }

  utf8proc_option_t options() const {
    const bool compatible = form_ == NormalForm::nfkc || form_ == NormalForm::nfkd;
    return utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  }

  void decompose(char32_t code, std::vector<utf8proc_int32_t>& span) const {
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts, 32, options(), &boundary);
    if (count < 0 || count > 32) {
      throw Error("normalising U+" + std::to_string(code) + " failed: " + utf8proc_errmsg(count));
    }
    span.insert(span.end(), parts, parts + count);
  }

  /// Orders the marks and composes; not by utf8proc_decompose, whose time grows with the square of a run.
  void append_composed(std::vector<utf8proc_int32_t>& span, std::string& to) const {
    const auto rank = [](utf8proc_int32_t code) {
      return static_cast<std::uint64_t>(utf8proc_get_property(code)->combining_class);
    };
    std::vector<std::uint64_t> run;  // rank, place and code: to sort them keeps the order of equal ranks
    for (std::size_t i = 0; i <= span.size(); ++i) {
      const std::uint64_t here = i < span.size() ? rank(span[i]) : 0;
      if (here != 0) {
        run.push_back(here << 56 | std::uint64_t{i} << 21 | static_cast<std::uint64_t>(span[i]));
        continue;
      }
      std::sort(run.begin(), run.end());
      for (std::size_t k = 0; k < run.size(); ++k)
        span[i - run.size() + k] = static_cast<utf8proc_int32_t>(run[k] & 0x1FFFFF);
      run.clear();
    }
    auto count = static_cast<utf8proc_ssize_t>(span.size());
    if (form_ == NormalForm::nfc || form_ == NormalForm::nfkc) {
      count =
          utf8proc_normalize_utf32(span.data(), count, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
      if (count < 0) throw Error(std::string("normalising failed: ") + utf8proc_errmsg(count));
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i)
      append_utf8(to, static_cast<char32_t>(span[static_cast<std::size_t>(i)]));
  }

  NormalForm form_;
  const CharacterTable* table_;
};

}  // namespace sdlora::detail
