#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../error.hpp"
#include "utf8.hpp"

namespace sdlora {

/// What turns text into token ids and back.
/// - `encode` gives ids below `vocab_size()`, without an end-of-text token.
/// - `decode` gives the text of ids; ArgumentError for an id that it does not have.
/// - `name()` is what a checkpoint made with it says under "tokenizer" in its config.json.
/// - `end_of_text()` is the id that ends a text, if there is one.
template <class T>
concept Tokenizer = requires(const T& tokenizer, std::string_view text, std::span<const std::int32_t> ids) {
  { tokenizer.encode(text) } -> std::same_as<std::vector<std::int32_t>>;
  { tokenizer.decode(ids) } -> std::same_as<std::string>;
  { tokenizer.vocab_size() } -> std::convertible_to<std::size_t>;
  { tokenizer.name() } -> std::convertible_to<std::string_view>;
  { tokenizer.end_of_text() } -> std::same_as<std::optional<std::int32_t>>;
};

/// Bytes as tokens: ids 0 to 255 are the bytes of the text, 256 is the end of text. Models on it
/// have 257 tokens, or up to 264 where their vocabulary is padded to a multiple of 8; the ids from
/// 257 on mean nothing and never occur in data.
struct ByteTokenizer {
  static constexpr std::int32_t end_of_text_id = 256;

  std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }

  /// The bytes of the ids. Any sequence of bytes can come out, well-formed UTF-8 or not; the end of
  /// text has no bytes. ArgumentError for ids outside of 0 to 256.
  std::string decode(std::span<const std::int32_t> ids) const {
    std::string text;
    text.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || ids[i] > end_of_text_id) {
        throw ArgumentError("ByteTokenizer: expected ids from 0 to 256, found " + std::to_string(ids[i]) +
                            " at position " + std::to_string(i) + "; pass ids of a byte-level model");
      }
      if (ids[i] != end_of_text_id) text += static_cast<char>(static_cast<unsigned char>(ids[i]));
    }
    return text;
  }

  constexpr std::size_t vocab_size() const { return 257; }
  constexpr std::string_view name() const { return "byte"; }
  constexpr std::optional<std::int32_t> end_of_text() const { return end_of_text_id; }
};

static_assert(Tokenizer<ByteTokenizer>);

/// Whether a checkpoint of `vocab_size` tokens, whose config.json names `checkpoint_tokenizer`,
/// reads the ids of `tokenizer`: it must name it, and have its vocabulary, at most padded to the
/// next multiple of 8.
template <Tokenizer T>
bool compatible(const T& tokenizer, std::size_t vocab_size,
                const std::optional<std::string>& checkpoint_tokenizer) {
  const std::size_t own = tokenizer.vocab_size();
  return checkpoint_tokenizer && *checkpoint_tokenizer == tokenizer.name() && vocab_size >= own &&
         vocab_size <= (own + 7) / 8 * 8;
}

/// Refuses text on a checkpoint that does not read the tokenizer's ids: it would train on garbage.
/// `path` is the checkpoint's, for the FileError.
template <Tokenizer T>
void require_compatible(const T& tokenizer, std::size_t vocab_size,
                        const std::optional<std::string>& checkpoint_tokenizer, const std::string& path) {
  if (compatible(tokenizer, vocab_size, checkpoint_tokenizer)) return;
  const std::string name(tokenizer.name());
  throw FileError(path, "",
                  "expected a checkpoint of the " + name + " tokenizer (\"tokenizer\": \"" + name +
                      "\" in config.json and " + std::to_string(tokenizer.vocab_size()) + " to " +
                      std::to_string((tokenizer.vocab_size() + 7) / 8 * 8) + " tokens), found " +
                      (checkpoint_tokenizer ? "tokenizer " + detail::in_quotes(*checkpoint_tokenizer)
                                            : std::string("no \"tokenizer\"")) +
                      " and " + std::to_string(vocab_size) +
                      " tokens; text would be read as other tokens than it was trained on: give token ids "
                      "(input_ids and labels, or --ids) instead of text");
}

}  // namespace sdlora
