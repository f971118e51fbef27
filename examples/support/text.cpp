#include "text.hpp"

#include <sdlora/error.hpp>
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

JsonlDataset open_data(const std::filesystem::path& path, const std::filesystem::path& directory,
                       const CheckpointConfig& config, DatasetOptions options) {
  options.vocab_size = config.vocab_size;
  std::optional<AnyTokenizer> tokenizer;
  try {
    tokenizer = read_tokenizer(directory, config);
  } catch (const FileError& error) {
    options.no_tokenizer = error.what();
  }
  return tokenizer ? JsonlDataset::open(path, *tokenizer, options) : JsonlDataset::open(path, options);
}

}  // namespace sdlora::examples
