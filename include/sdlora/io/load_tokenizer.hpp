#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "../error.hpp"
#include "any_tokenizer.hpp"
#include "model_config.hpp"
#include "tokenizer.hpp"
#include "tokenizer_config.hpp"
#include "utf8.hpp"

namespace sdlora {
namespace detail {

/// How a tokenizer.json is opened, with the id and the text of the token that ends a text: set where a
/// program includes io/bpe_tokenizer.hpp, so that what does not needs none of its libraries.
inline AnyTokenizer (*open_tokenizer_json)(const std::filesystem::path&, std::optional<std::int32_t>,
                                           const std::string&) = nullptr;

}  // namespace detail

/// The tokenizer of a checkpoint: bytes where its config.json says "tokenizer": "byte", else the
/// tokenizer.json in `directory`. A text ends with the "eos_token" of the tokenizer_config.json beside it, or
/// with the first eos_token_id of config.json. A tokenizer.json needs io/bpe_tokenizer.hpp, included
/// somewhere in the program; without it the FileError says what to install. FileError, too, where there is no
/// tokenizer.json, or one of more tokens than the checkpoint has.
inline AnyTokenizer load_tokenizer(const std::filesystem::path& directory, const CheckpointConfig& config) {
  if (config.tokenizer == std::optional<std::string>("byte")) {
    require_compatible(ByteTokenizer{}, config);
    return ByteTokenizer{};
  }
  const std::filesystem::path path = directory / "tokenizer.json";
  std::error_code status;
  if (!std::filesystem::exists(path, status)) {
    throw FileError(
        path.string(), "",
        "expected this file, or \"tokenizer\": \"byte\" in config.json, found neither (\"tokenizer\" is " +
            (config.tokenizer ? detail::in_quotes(*config.tokenizer) : std::string("missing")) +
            "); copy the model's tokenizer.json there, or give token ids (input_ids and labels, or "
            "--ids) instead of text");
  }
  if (detail::open_tokenizer_json == nullptr) {
    throw FileError(
        path.string(), "",
        "reading it takes PCRE2 and utf8proc, and this program was built without them: install both "
        "(Debian: apt-get install libpcre2-dev libutf8proc-dev) and build again, or give token ids "
        "(input_ids and labels, or --ids) instead of text");
  }
  const auto end = read_tokenizer_config(directory).token("eos_token");
  AnyTokenizer tokenizer = detail::open_tokenizer_json(path, config.end_of_text, end.value_or(""));
  if (tokenizer.vocab_size() > config.vocab_size) {
    throw FileError(path.string(), "",
                    "expected at most " + std::to_string(config.vocab_size) +
                        " tokens, as many as the checkpoint has, found " +
                        std::to_string(tokenizer.vocab_size()) +
                        "; copy config.json, weights and tokenizer.json from the same model");
  }
  return tokenizer;
}

}  // namespace sdlora
