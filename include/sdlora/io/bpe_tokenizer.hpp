#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "any_tokenizer.hpp"
#include "detail/added_tokens.hpp"
#include "detail/bpe_merges.hpp"
#include "detail/byte_alphabet.hpp"
#include "detail/pre_tokenizer.hpp"
#include "detail/unicode_text.hpp"
#include "json.hpp"
#include "load_tokenizer.hpp"
#include "tokenizer.hpp"
#include "utf8.hpp"

namespace sdlora {

/// A byte-level byte-pair encoding from a tokenizer.json, the format of Hugging Face's `tokenizers`: GPT-2,
/// GPT-NeoX (whose tokenizer the published Mambas have), Falcon, Llama 3 and their kin. Gives the ids that
/// the library gives with `add_special_tokens=False`.
///
/// Not in <sdlora/io.hpp>: it needs PCRE2 (8 bit) and utf8proc, which the CMake target sdlora::text links.
class BpeTokenizer {
 public:
  /// Reads a tokenizer.json. What ends a text is the token `end_text`, where there is one of that text; else
  /// the one of id `end_of_text`; where neither is given, "<|endoftext|>" or "<|end_of_text|>". FileError
  /// where the file is damaged, or of a kind that is not read here: other models than BPE, and none but
  /// byte-level ones.
  static BpeTokenizer open(const std::filesystem::path& path,
                           std::optional<std::int32_t> end_of_text = std::nullopt,
                           const std::string& end_text = {}) {
    const auto document = read_json(path, {.max_bytes = std::size_t{128} << 20, .max_values = 16'000'000});
    return BpeTokenizer(JsonObject(document, path.string()), end_of_text, end_text);
  }

  BpeTokenizer(BpeTokenizer&&) = default;
  BpeTokenizer& operator=(BpeTokenizer&&) = default;
  BpeTokenizer(const BpeTokenizer&) = delete;  // AnyTokenizer shares one
  BpeTokenizer& operator=(const BpeTokenizer&) = delete;

  /// The ids of `text`. A special token that is spelled in it becomes that token, as for the library.
  /// ArgumentError where the text is not UTF-8.
  std::vector<std::int32_t> encode(std::string_view text) const {
    if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
      throw ArgumentError("BpeTokenizer: expected UTF-8, found " + detail::in_quotes(text.substr(bad, 1)) +
                          " at byte " + std::to_string(bad) +
                          "; convert the text (iconv -f latin1 -t utf-8), or remove what is no text");
    }
    std::vector<std::int32_t> ids;
    ids.reserve(text.size() / 3 + 1);
    std::string normalized;
    std::vector<std::int32_t> symbols;
    const auto use_word = [&](std::string_view word) { encode_word(word, ids, symbols); };
    const auto use_token = [&](std::int32_t id) { ids.push_back(id); };
    raw_tokens_.cut(
        text,
        [&](std::string_view piece) {
          normalized_tokens_.cut(
              normalizer_(piece, normalized),
              [&](std::string_view words) { pre_tokenizer_.for_each_word(words, use_word); }, use_token);
        },
        use_token);
    return ids;
  }

  /// The bytes of the ids, special tokens left out; an added token is the text that it was found by. They may
  /// end, or begin, within a character (see StreamingDecoder). ArgumentError for ids that it does not have.
  std::string decode(std::span<const std::int32_t> ids) const {
    std::string text;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Token* const token = find(ids[i]);
      if (token == nullptr) {
        throw ArgumentError("BpeTokenizer: expected ids of the tokenizer, below " +
                            std::to_string(vocab_size()) + ", found " + std::to_string(ids[i]) +
                            " at position " + std::to_string(i) + "; pass ids of a model on this tokenizer");
      }
      if (!token->special) text += token->bytes;
    }
    return text;
  }

  /// One more than the highest id.
  std::size_t vocab_size() const { return tokens_.size(); }
  std::string_view name() const { return "tokenizer.json"; }
  std::optional<std::int32_t> end_of_text() const { return end_of_text_; }

  /// The id of a token by its text: "<|padding|>".
  std::optional<std::int32_t> id_of(std::string_view text) const {
    const auto found = ids_.find(std::string(text));
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  /// Whether the id is that of a special token.
  bool is_special(std::int32_t id) const {
    const Token* const token = find(id);
    return token != nullptr && token->special;
  }

 private:
  struct Token {
    std::string bytes;
    bool used = false, special = false;
  };

  static constexpr std::int32_t max_id = 1 << 21;

  BpeTokenizer(const JsonObject& top, std::optional<std::int32_t> end_of_text, const std::string& end_text)
      : normalizer_(read_normalizer(top)), pre_tokenizer_(top) {
    require_byte_decoder(top);
    const JsonObject model = top.object("model");
    require_plain_model(model);
    read_vocabulary(model);
    read_merges(model);
    read_added_tokens(top);
    // The words hold views of the tokens' bytes, which are in their place now.
    index_words(model.optional<bool>("ignore_merges").value_or(false));
    read_end_of_text(top, end_of_text, end_text);
  }

  static detail::NormalForm read_normalizer(const JsonObject& top) {
    const auto object = top.optional_object("normalizer");
    return object ? normal_form(*object) : detail::NormalForm::none;
  }

  static detail::NormalForm normal_form(const JsonObject& object) {
    using enum detail::NormalForm;
    const auto type = object.required<std::string>("type");
    if (type == "NFC") return nfc;
    if (type == "NFD") return nfd;
    if (type == "NFKC") return nfkc;
    if (type == "NFKD") return nfkd;
    if (type == "Sequence") {
      const nlohmann::json* const steps = object.find("normalizers");
      if (steps != nullptr && steps->is_array() && steps->empty()) return none;
      if (steps != nullptr && steps->is_array() && steps->size() == 1)
        return normal_form(JsonObject((*steps)[0], object.file(), object.path_of("normalizers[0]")));
    }
    object.fail("type", "expected NFC, NFD, NFKC, NFKD or no normalizer, found " + detail::in_quotes(type) +
                            other_way);
  }

  static void require_byte_decoder(const JsonObject& top) {
    const auto decoder = top.optional_object("decoder");
    if (!decoder) return;
    const auto type = decoder->required<std::string>("type");
    if (type != "ByteLevel")
      decoder->fail("type", "expected ByteLevel, found " + detail::in_quotes(type) + other_way);
  }

  static void require_plain_model(const JsonObject& model) {
    const auto type = model.optional<std::string>("type").value_or("BPE");
    if (type != "BPE") model.fail("type", "expected BPE, found " + detail::in_quotes(type) + other_way);
    if (model.optional<double>("dropout").value_or(0) != 0)
      model.fail("dropout", "expected none, found some; set it to null");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const auto text = model.optional<std::string>(key); text && !text->empty())
        model.fail(key, "expected none, found " + detail::in_quotes(*text) + other_way);
    }
    if (model.optional<bool>("byte_fallback").value_or(false))
      model.fail("byte_fallback", "expected false, found true" + std::string(other_way));
  }

  void read_vocabulary(const JsonObject& model) {
    const JsonObject vocabulary = model.object("vocab");
    const auto& alphabet = detail::ByteAlphabet::instance();
    for (const auto& [text, value] : vocabulary.value().get_ref<const nlohmann::json::object_t&>()) {
      const auto id = vocabulary.required<std::int32_t>(text);
      if (id < 0 || id >= max_id) vocabulary.fail(text, "expected an id from 0 to 2097151; correct it");
      if (find(id) != nullptr)
        vocabulary.fail(text,
                        "expected an id of its own, found " + std::to_string(id) + " again; correct it");
      // What is not of the alphabet, no text becomes; it stands for itself.
      put(id, {alphabet.bytes(text).value_or(text), true, false});
      ids_.emplace(text, id);
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto id = id_of(alphabet.text(static_cast<unsigned char>(byte)));
      byte_ids_[byte] = id.value_or(-1);
      const bool in_utf8 = byte < 0xC0 || (byte > 0xC1 && byte < 0xF5);
      if (!id && in_utf8) {
        vocabulary.fail(alphabet.text(static_cast<unsigned char>(byte)),
                        "expected a token for every byte of UTF-8, found none for " + std::to_string(byte) +
                            "; train the tokenizer with initial_alphabet=ByteLevel.alphabet()");
      }
    }
  }

  void read_merges(const JsonObject& model) {
    const nlohmann::json* const merges = model.find("merges");
    if (merges == nullptr || !merges->is_array())
      model.fail("merges", "expected an array of pairs; copy the file again");
    merges_ = detail::BpeMerges(merges->size());
    for (std::size_t rank = 0; rank < merges->size(); ++rank) {
      const std::string key = "merges[" + std::to_string(rank) + "]";
      const auto [left, right] = read_pair(model, (*merges)[rank], key);
      const auto left_id = id_of(left), right_id = id_of(right), id = id_of(left + right);
      if (!left_id || !right_id || !id) {
        model.fail(key, "expected two tokens that together are one, found " + detail::in_quotes(left) +
                            " and " + detail::in_quotes(right) + ", of which the vocabulary lacks " +
                            detail::in_quotes(!left_id    ? left
                                              : !right_id ? right
                                                          : left + right) +
                            "; copy the file again");
      }
      merges_.add(*left_id, *right_id, {static_cast<std::uint32_t>(rank), *id});
    }
  }

  static std::pair<std::string, std::string> read_pair(const JsonObject& model, const nlohmann::json& value,
                                                       const std::string& key) {
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      const auto space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
        return {text.substr(0, space), text.substr(space + 1)};
    } else if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
      return {value[0].get_ref<const std::string&>(), value[1].get_ref<const std::string&>()};
    }
    model.fail(key, "expected two tokens, as \"a b\" or [\"a\", \"b\"]; copy the file again");
  }

  void read_added_tokens(const JsonObject& top) {
    const nlohmann::json* const added = top.find("added_tokens");
    if (added == nullptr) return;
    if (!added->is_array()) top.fail("added_tokens", "expected an array; copy the file again");
    std::string buffer;
    for (std::size_t i = 0; i < added->size(); ++i) {
      const JsonObject object((*added)[i], top.file(), "added_tokens[" + std::to_string(i) + "]");
      const auto flag = [&](const char* key, bool otherwise) {
        return object.optional<bool>(key).value_or(otherwise);
      };
      detail::AddedToken token{.id = object.required<std::int32_t>("id"),
                               .text = object.required<std::string>("content"),
                               .special = flag("special", false),
                               .single_word = flag("single_word", false),
                               .left_strip = flag("lstrip", false),
                               .right_strip = flag("rstrip", false)};
      token.normalized = flag("normalized", !token.special);
      if (token.id < 0 || token.id >= max_id)
        object.fail("id", "expected an id from 0 to 2097151; correct it");
      if (token.text.empty()) continue;
      const auto known = id_of(token.text);
      const Token* const taken = find(token.id);
      if (known ? *known != token.id : taken != nullptr) {
        object.fail("id", "expected " +
                              (known ? std::to_string(*known) + ", the token's in the vocabulary"
                                     : std::string("an id of its own")) +
                              ", found " + std::to_string(token.id) + "; copy the file again");
      }
      put(token.id, {token.text, true, token.special});
      ids_.insert_or_assign(token.text, token.id);
      if (token.normalized) {
        normalized_tokens_.add(normalizer_(token.text, buffer), token);
      } else {
        raw_tokens_.add(token.text, token);
      }
    }
  }

  /// Words that are one token need no merging; whether they are is tried once.
  void index_words(bool ignore_merges) {
    words_ = detail::WordTable(ids_.size());
    std::vector<std::int32_t> symbols;
    for (const auto& [text, id] : ids_) {
      const auto bytes = detail::ByteAlphabet::instance().bytes(text);
      const std::string& own = tokens_[static_cast<std::size_t>(id)].bytes;
      if (!bytes || *bytes != own || own.empty() || !spell(own, symbols)) continue;
      if (!ignore_merges) {
        merges_.apply(symbols);
        if (symbols.size() != 1 || symbols[0] != id) continue;
      }
      words_.add(own, id);
    }
  }

  void read_end_of_text(const JsonObject& top, std::optional<std::int32_t> given, const std::string& text) {
    end_of_text_ = id_of(text);
    if (end_of_text_) return;
    end_of_text_ = given;
    if (!given) end_of_text_ = id_of("<|endoftext|>");
    if (!end_of_text_) end_of_text_ = id_of("<|end_of_text|>");
    if (end_of_text_ && find(*end_of_text_) == nullptr) {
      top.fail("added_tokens",
               "expected the token that ends a text, id " + std::to_string(*end_of_text_) +
                   " by config.json, found none; copy config.json and tokenizer.json from the "
                   "same model");
    }
  }

  /// The tokens of the bytes one by one; false where a byte has none.
  bool spell(std::string_view word, std::vector<std::int32_t>& symbols) const {
    symbols.clear();
    for (const char c : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    for (const std::int32_t id : symbols) {
      if (id < 0) return false;
    }
    return true;
  }

  void encode_word(std::string_view word, std::vector<std::int32_t>& ids,
                   std::vector<std::int32_t>& symbols) const {
    if (const std::int32_t id = words_(word); id >= 0) {
      ids.push_back(id);
      return;
    }
    spell(word, symbols);  // all of UTF-8's bytes have tokens
    merges_.apply(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  const Token* find(std::int32_t id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size()) return nullptr;
    const Token& token = tokens_[static_cast<std::size_t>(id)];
    return token.used ? &token : nullptr;
  }

  void put(std::int32_t id, Token token) {
    if (static_cast<std::size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<std::size_t>(id) + 1);
    tokens_[static_cast<std::size_t>(id)] = std::move(token);
  }

  static constexpr const char* other_way =
      "; make token ids with the `tokenizers` library and give those instead of text";

  detail::Normalizer normalizer_;
  detail::PreTokenizer pre_tokenizer_;
  std::vector<Token> tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;  // by the text in the file
  std::int32_t byte_ids_[256] = {};
  detail::BpeMerges merges_;
  detail::WordTable words_;
  detail::AddedTokenFinder raw_tokens_, normalized_tokens_;
  std::optional<std::int32_t> end_of_text_;
};

static_assert(Tokenizer<BpeTokenizer>);

namespace detail {
/// From here on `load_tokenizer` reads a tokenizer.json.
inline const bool tokenizer_json_is_read =
    (open_tokenizer_json = [](const std::filesystem::path& path, std::optional<std::int32_t> end_of_text,
                              const std::string& end_text) -> AnyTokenizer {
      return BpeTokenizer::open(path, end_of_text, end_text);
    }) != nullptr;
}  // namespace detail

}  // namespace sdlora
