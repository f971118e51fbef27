#pragma once

#include <sdlora/io/any_tokenizer.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/io/model_config.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace sdlora::examples {

/// The checkpoint's tokenizer; where PCRE2 and utf8proc were found at the build, also that of a
/// tokenizer.json.
AnyTokenizer read_tokenizer(const std::filesystem::path& directory, const CheckpointConfig& config);

/// How many of the checkpoint's ids are tokens: by its tokenizer, where there is one that can be read, or
/// else by config.json; 0: perhaps all.
std::size_t used_vocabulary(const std::filesystem::path& directory, const CheckpointConfig& config);

/// `text` with \n, \t and \\ as they are in C, for command lines.
std::string unescaped(std::string_view text);

/// Examples for a checkpoint, text by its tokenizer; gzip where zlib was found at the build. Without a
/// tokenizer token ids are read, and text is refused with the reason; conversations go by the checkpoint's
/// chat template. Ids are those of the checkpoint.
JsonlDataset open_data(const std::filesystem::path& path, const std::filesystem::path& directory,
                       const CheckpointConfig& config, DatasetOptions options);

}  // namespace sdlora::examples
