#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../json.hpp"
#include "byte_alphabet.hpp"
#include "gpt2_pattern.hpp"
#include "split_pattern.hpp"
#include "unicode_text.hpp"

namespace sdlora::detail {

/// What becomes of the matches of a splitting step.
enum class SplitBehavior : std::uint8_t {
  isolated,
  removed,
  contiguous,
  merged_with_previous,
  merged_with_next
};

/// The splitting of text into the words inside of which tokens are made: the steps of tokenizer.json's
/// "pre_tokenizer", one after another on what the steps before left.
///
/// From the ByteLevel step on the library that made the file sees each byte as a character of its own, of the
/// byte alphabet. So do the steps here: there 0xB2 is a digit, since it stands as "²".
class PreTokenizer {
 public:
  PreTokenizer() = default;

  /// FileError where it is not byte-level, or has a step that is not known here.
  explicit PreTokenizer(const JsonObject& top) {
    if (!top.contains("pre_tokenizer")) refuse(top, "no pre_tokenizer");
    read(top.object("pre_tokenizer"));
    if (!byte_level_) refuse(top, "a pre_tokenizer without ByteLevel");
  }

  /// Calls `use(word)` for the words of `text`, well-formed UTF-8, in order.
  template <class Use>
  void for_each_word(std::string_view text, const Use& use) const {
    run(0, false, text, use);
  }

 private:
  struct ByteLevel {
    bool add_prefix_space = false, split = true;
  };
  struct Digits {
    bool individual = false;
  };
  struct Punctuation {};
  struct ThreeDigits {};
  struct Gpt2 {};
  using Matcher = std::variant<Digits, Punctuation, ThreeDigits, Gpt2, std::shared_ptr<const SplitPattern>>;
  struct Split {
    Matcher matcher;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
  };
  using Step = std::variant<ByteLevel, Split>;
  struct Span {
    std::size_t begin, end;
    bool match;
  };

  [[noreturn]] static void refuse(const JsonObject& object, const std::string& found) {
    throw FileError(object.file(), object.path_of("pre_tokenizer"),
                    "expected a byte-level tokenizer, found " + found +
                        "; make token ids with the `tokenizers` library and give those instead of text");
  }

  void read(const JsonObject& object) {
    const auto type = object.required<std::string>("type");
    if (type == "Sequence") {
      const nlohmann::json* const steps = object.find("pretokenizers");
      if (steps == nullptr || !steps->is_array()) refuse(object, "a Sequence without pretokenizers");
      for (std::size_t i = 0; i < steps->size(); ++i) {
        read(JsonObject((*steps)[i], object.file(),
                        object.path_of("pretokenizers") + "[" + std::to_string(i) + "]"));
      }
    } else if (type == "ByteLevel") {
      if (byte_level_) refuse(object, "ByteLevel twice");
      byte_level_ = true;
      steps_.push_back(ByteLevel{object.optional<bool>("add_prefix_space").value_or(true),
                                 object.optional<bool>("use_regex").value_or(true)});
    } else if (type == "Digits") {
      const bool individual = object.optional<bool>("individual_digits").value_or(false);
      steps_.push_back(
          Split{Digits{individual}, individual ? SplitBehavior::isolated : SplitBehavior::contiguous, false});
    } else if (type == "Punctuation") {
      steps_.push_back(Split{Punctuation{}, behavior(object, "Isolated"), false});
    } else if (type == "Split") {
      steps_.push_back(
          Split{matcher(object), behavior(object, ""), object.optional<bool>("invert").value_or(false)});
    } else {
      refuse(object, in_quotes(type));
    }
  }

  static SplitBehavior behavior(const JsonObject& object, const std::string& otherwise) {
    const std::string name = otherwise.empty() ? object.required<std::string>("behavior")
                                               : object.optional<std::string>("behavior").value_or(otherwise);
    constexpr std::pair<std::string_view, SplitBehavior> known[] = {
        {"Isolated", SplitBehavior::isolated},
        {"Removed", SplitBehavior::removed},
        {"Contiguous", SplitBehavior::contiguous},
        {"MergedWithPrevious", SplitBehavior::merged_with_previous},
        {"MergedWithNext", SplitBehavior::merged_with_next}};
    for (const auto& [text, value] : known) {
      if (name == text) return value;
    }
    object.fail("behavior",
                "expected Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext, found " +
                    in_quotes(name) + "; correct it");
  }

  Matcher matcher(const JsonObject& object) const {
    const JsonObject pattern = object.object("pattern");
    try {
      if (const auto literal = pattern.optional<std::string>("String"))
        return std::make_shared<const SplitPattern>(SplitPattern::literal(*literal));
      const auto regex = pattern.required<std::string>("Regex");
      if (regex == Gpt2Pattern::regex && !byte_level_) return Gpt2{};
      if (regex == "[0-9][0-9][0-9]") return ThreeDigits{};
      return std::make_shared<const SplitPattern>(regex);
    } catch (const ArgumentError& error) {
      pattern.fail("Regex", error.what());
    }
  }

  /// The steps from `step` on; `bytes`: whether ByteLevel lies behind.
  template <class Use>
  void run(std::size_t step, bool bytes, std::string_view text, const Use& use) const {
    if (text.empty()) return;
    if (step == steps_.size()) {
      use(text);
    } else if (const auto* level = std::get_if<ByteLevel>(&steps_[step])) {
      if (level->add_prefix_space && text[0] != ' ') {
        const std::string prefixed = ' ' + std::string(text);
        enter_bytes(step, *level, prefixed, use);
      } else {
        enter_bytes(step, *level, text, use);
      }
    } else {
      const Split& split = *std::get_if<Split>(&steps_[step]);
      std::vector<Span> spans = find(split, bytes, text);
      for (const Span& span : arranged(std::move(spans), split.behavior))
        run(step + 1, bytes, text.substr(span.begin, span.end - span.begin), use);
    }
  }

  template <class Use>
  void enter_bytes(std::size_t step, const ByteLevel& level, std::string_view text, const Use& use) const {
    const bool last = step + 1 == steps_.size();
    if (!level.split) {
      run(step + 1, true, text, use);
    } else if (last) {
      gpt2_.for_each_match(text,
                           [&](std::size_t begin, std::size_t end) { use(text.substr(begin, end - begin)); });
    } else {
      gpt2_.for_each_match(text, [&](std::size_t begin, std::size_t end) {
        run(step + 1, true, text.substr(begin, end - begin), use);
      });
    }
  }

  /// The text cut into matches and what lies between them.
  std::vector<Span> find(const Split& split, bool bytes, std::string_view text) const {
    std::vector<Span> spans;
    std::size_t done = 0;
    const auto take = [&](std::size_t begin, std::size_t end) {
      if (begin > done) spans.push_back({done, begin, split.invert});
      spans.push_back({begin, end, !split.invert});
      done = end;
    };
    if (std::holds_alternative<Gpt2>(split.matcher)) {
      gpt2_.for_each_match(text, take);
    } else if (std::holds_alternative<ThreeDigits>(split.matcher)) {
      const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
      for (std::size_t i = 0; i + 3 <= text.size();) {
        const bool match = digit(i) && digit(i + 1) && digit(i + 2);
        if (match) take(i, i + 3);
        i += match ? 3 : 1;
      }
    } else if (const auto* pattern = std::get_if<std::shared_ptr<const SplitPattern>>(&split.matcher)) {
      if (bytes) {
        for_each_match_in_bytes(**pattern, text, take);
      } else {
        (*pattern)->for_each_match(text, take);
      }
    } else {
      const int bits = std::holds_alternative<Punctuation>(split.matcher)
                           ? CharacterClass::punctuation
                           : CharacterClass::number | CharacterClass::newer_number;
      for (std::size_t i = 0; i < text.size();) {
        const auto [code, length] =
            bytes ? DecodedCharacter{alphabet_->code(static_cast<unsigned char>(text[i])), 1}
                  : decode_character(text.substr(i));
        if (((*table_)[code] & bits) != 0) take(i, i + length);
        i += length;
      }
    }
    if (done < text.size()) spans.push_back({done, text.size(), split.invert});
    return spans;
  }

  template <class Take>
  void for_each_match_in_bytes(const SplitPattern& pattern, std::string_view text, const Take& take) const {
    std::string written;
    std::vector<std::size_t> byte_at;  // of each byte of what is written
    for (std::size_t i = 0; i < text.size(); ++i) {
      written += alphabet_->text(static_cast<unsigned char>(text[i]));
      byte_at.resize(written.size(), i);
    }
    byte_at.push_back(text.size());
    pattern.for_each_match(written,
                           [&](std::size_t begin, std::size_t end) { take(byte_at[begin], byte_at[end]); });
  }

  static std::vector<Span> arranged(std::vector<Span> spans, SplitBehavior behavior) {
    std::vector<Span> result;
    switch (behavior) {
      case SplitBehavior::isolated:
        return spans;
      case SplitBehavior::removed:
        for (const Span& span : spans) {
          if (!span.match) result.push_back(span);
        }
        break;
      case SplitBehavior::contiguous:
        for (const Span& span : spans) {
          if (!result.empty() && result.back().match == span.match) {
            result.back().end = span.end;
          } else {
            result.push_back(span);
          }
        }
        break;
      case SplitBehavior::merged_with_previous:
        for (bool after_match = false; const Span& span : spans) {
          if (span.match && !after_match && !result.empty()) {
            result.back().end = span.end;
          } else {
            result.push_back(span);
          }
          after_match = span.match;
        }
        break;
      case SplitBehavior::merged_with_next:
        for (std::size_t i = 0; i < spans.size(); ++i) {
          // The last of several matches goes with what follows it.
          const bool joins = spans[i].match && i + 1 < spans.size() && !spans[i + 1].match;
          result.push_back({spans[i].begin, spans[joins ? i + 1 : i].end, false});
          i += joins;
        }
        break;
    }
    return result;
  }

  std::vector<Step> steps_;
  bool byte_level_ = false;
  Gpt2Pattern gpt2_;
  const CharacterTable* table_ = &CharacterTable::instance();
  const ByteAlphabet* alphabet_ = &ByteAlphabet::instance();
};

}  // namespace sdlora::detail
