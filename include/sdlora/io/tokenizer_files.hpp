#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "atomic_file.hpp"
#include "json.hpp"

namespace sdlora {

/// The files of a checkpoint's folder beside config.json and the weights that `transformers` reads: of its
/// tokenizer, of its chat template and of how it generates.
inline constexpr std::string_view tokenizer_files[] = {"tokenizer.json",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "vocab.txt",
                                                       "tokenizer.model",
                                                       "spiece.model",
                                                       "chat_template.jinja",
                                                       "chat_template.json",
                                                       "generation_config.json"};

/// Copies those `tokenizer_files` that `from` has into `to`, which is there, but for those that `to` has
/// already. Returns the names of all that `to` has now. FileError where a copy fails.
inline std::vector<std::string> copy_tokenizer_files(const std::filesystem::path& from,
                                                     const std::filesystem::path& to) {
  std::vector<std::string> present;
  std::error_code none;
  for (const std::string_view name : tokenizer_files) {
    if (!std::filesystem::exists(to / name, none)) {
      if (!std::filesystem::is_regular_file(from / name, none)) continue;
      write_file(to / name, read_text_file(from / name, std::size_t{1} << 30));
    }
    present.emplace_back(name);
  }
  return present;
}

}  // namespace sdlora
