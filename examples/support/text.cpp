#include "text.hpp"

#include <sdlora/error.hpp>
#include <sdlora/io/chat_template.hpp>
#include <sdlora/io/load_tokenizer.hpp>
#ifdef SDLORA_WITH_TEXT
#include <sdlora/io/bpe_tokenizer.hpp>
#endif
#ifdef SDLORA_WITH_GZIP
#include <sdlora/io/gzip.hpp>
#endif

#include <optional>

namespace sdlora::examples {

AnyTokenizer read_tokenizer(const std::filesystem::path& directory, const CheckpointConfig& config) {
  return load_tokenizer(directory, config);
}

std::size_t used_vocabulary(const std::filesystem::path& directory, const CheckpointConfig& config) {
  try {
    return read_tokenizer(directory, config).vocab_size();
  } catch (const FileError&) {
    return config.unpadded_vocab_size;
  }
}

std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 'n' || next == 't' || next == '\\') {
      result += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

JsonlDataset open_data(const std::filesystem::path& path, const std::filesystem::path& directory,
                       const CheckpointConfig& config, DatasetOptions options) {
  options.vocab_size = config.vocab_size;
  std::optional<AnyTokenizer> tokenizer;
  try {
    tokenizer = read_tokenizer(directory, config);
  } catch (const FileError& error) {
    options.no_tokenizer = error.what();
  }
  try {
    if (const auto chat = load_chat_template(directory)) options.chat = *chat;
  } catch (const FileError& error) {
    options.no_chat = error.what();
  }
  return tokenizer ? JsonlDataset::open(path, *tokenizer, options) : JsonlDataset::open(path, options);
}

}  // namespace sdlora::examples
