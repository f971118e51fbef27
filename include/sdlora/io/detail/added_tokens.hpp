#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unicode_text.hpp"

namespace sdlora::detail {

/// A token that is looked for in the text itself, before anything is split.
struct AddedToken {
  std::int32_t id = 0;
  std::string text;
  bool special = false;      // like the end of text: decoding leaves it out
  bool single_word = false;  // only where no \w stands beside it
  bool left_strip = false;   // takes the white space before it along
  bool right_strip = false;  // and behind it
  bool normalized = false;   // looked for in the normalised text
};

/// Looks for a set of tokens: leftmost first, and of those the longest.
class AddedTokenFinder {
 public:
  AddedTokenFinder() : nodes_(1) {}

  /// Of equal texts the last counts.
  void add(std::string_view text, const AddedToken& token) {
    if (text.empty()) return;
    begins_[static_cast<unsigned char>(text[0])] = true;
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto [found, fresh] =
          children_.try_emplace(edge(node, c), static_cast<std::uint32_t>(nodes_.size()));
      if (fresh) nodes_.push_back(none);
      node = found->second;
    }
    nodes_[node] = static_cast<std::uint32_t>(tokens_.size());
    tokens_.push_back(token);
  }

  bool empty() const { return tokens_.empty(); }

  /// Cuts text: `use_text(piece)` for what lies between the tokens, `use_token(id)` for those found.
  template <class UseText, class UseToken>
  void cut(std::string_view text, const UseText& use_text, const UseToken& use_token) const {
    std::size_t done = 0;
    for (std::size_t at = 0; !tokens_.empty() && at < text.size();) {
      if (!begins_[static_cast<unsigned char>(text[at])]) {
        ++at;
        continue;
      }
      const auto [length, index] = longest(text.substr(at));
      if (length == 0) {
        ++at;
        continue;
      }
      const AddedToken& token = tokens_[index];
      std::size_t begin = at, end = at + length;
      at = end;
      if (token.single_word && !stands_alone(text, begin, end)) continue;
      if (token.left_strip) begin = std::max(done, spaces_begin(text.substr(0, begin)));
      if (token.right_strip) end += spaces_end(text.substr(end));
      if (done < begin) use_text(text.substr(done, begin - done));
      use_token(token.id);
      done = end;
    }
    if (done != text.size()) use_text(text.substr(done));
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  struct Found {
    std::size_t length;
    std::uint32_t token;
  };

  static std::uint64_t edge(std::uint32_t node, char c) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
  }

  Found longest(std::string_view text) const {
    Found found{0, none};
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto next = children_.find(edge(node, text[i]));
      if (next == children_.end()) break;
      node = next->second;
      if (nodes_[node] != none) found = {i + 1, nodes_[node]};
    }
    return found;
  }

  static bool is(std::string_view text, std::size_t at, int bits) {
    return (CharacterTable::instance()[decode_character(text.substr(at)).code] & bits) != 0;
  }

  static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin == 0 || !is(text, last_character(text.substr(0, begin)), CharacterClass::word)) &&
           (end == text.size() || !is(text, end, CharacterClass::word));
  }

  /// Where the white space at the text's end begins.
  static std::size_t spaces_begin(std::string_view text) {
    std::size_t begin = text.size();
    while (begin > 0) {
      const std::size_t last = last_character(text.substr(0, begin));
      if (!is(text, last, CharacterClass::space)) break;
      begin = last;
    }
    return begin;
  }

  /// Where the white space at the text's begin ends.
  static std::size_t spaces_end(std::string_view text) {
    std::size_t end = 0;
    while (end < text.size() && is(text, end, CharacterClass::space))
      end += decode_character(text.substr(end)).length;
    return end;
  }

  std::vector<AddedToken> tokens_;
  std::vector<std::uint32_t> nodes_;  // the token that ends there
  std::unordered_map<std::uint64_t, std::uint32_t> children_;
  bool begins_[256] = {};
};

}  // namespace sdlora::detail
