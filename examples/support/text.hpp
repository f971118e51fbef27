#pragma once

#include <sdlora/io/any_tokenizer.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/io/model_config.hpp>

#include <filesystem>

namespace sdlora::examples {

/// The checkpoint's tokenizer; where PCRE2 and utf8proc were found at the build, also that of a
/// tokenizer.json.
AnyTokenizer read_tokenizer(const std::filesystem::path& directory, const CheckpointConfig& config);

/// Examples for a checkpoint, text by its tokenizer; gzip where zlib was found at the build. Without a
/// tokenizer token ids are read, and text is refused with the reason. Ids are those of the checkpoint.
JsonlDataset open_data(const std::filesystem::path& path, const std::filesystem::path& directory,
                       const CheckpointConfig& config, DatasetOptions options);

}  // namespace sdlora::examples
