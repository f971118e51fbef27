#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "../error.hpp"
#include "json.hpp"

namespace sdlora {

/// What the files beside a tokenizer.json say of it.
struct TokenizerConfig {
  /// The texts of special tokens, as "eos_token" and "bos_token" name them.
  std::map<std::string, std::string, std::less<>> tokens = {};
  /// How conversations are written, a template of Jinja.
  std::optional<std::string> chat_template = {};
  /// The file that has the template, for errors.
  std::string chat_template_path = {};

  /// The text of a token such as "eos_token"; nothing where it is not said.
  std::optional<std::string> token(std::string_view name) const {
    const auto found = tokens.find(name);
    if (found == tokens.end()) return std::nullopt;
    return found->second;
  }
};

namespace detail {

inline nlohmann::json read_if_there(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return nlohmann::json::object();
  return read_json(path, {.max_values = 16'000'000, .python_numbers = true});
}

/// Adds the tokens of a file that are strings or objects with a "content".
inline void read_special_tokens(const JsonObject& file, TokenizerConfig& config) {
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    const nlohmann::json* const value = file.find(key);
    if (value == nullptr || config.tokens.contains(key)) continue;
    config.tokens[key] = value->is_object() ? file.object(key).required<std::string>("content")
                                            : file.required<std::string>(key);
  }
}

/// The template itself, or of several named ones "default".
inline std::optional<std::string> read_chat_template(const JsonObject& file) {
  constexpr const char* key = "chat_template";
  const nlohmann::json* const value = file.find(key);
  if (value == nullptr || !value->is_array()) return file.optional<std::string>(key);
  for (std::size_t i = 0; i < value->size(); ++i) {
    const JsonObject named((*value)[i], file.file(), "chat_template[" + std::to_string(i) + "]");
    if (named.required<std::string>("name") == "default") return named.required<std::string>("template");
  }
  return std::nullopt;
}

}  // namespace detail

/// Reads tokenizer_config.json, special_tokens_map.json and chat_template.jinja of a checkpoint's folder,
/// those of them that are there. FileError where one is damaged.
inline TokenizerConfig read_tokenizer_config(const std::filesystem::path& directory) {
  TokenizerConfig config;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "chat_template.json"}) {
    const std::filesystem::path path = directory / name;
    const nlohmann::json document = detail::read_if_there(path);
    const JsonObject file(document, path.string());
    detail::read_special_tokens(file, config);
    if (config.chat_template) continue;
    config.chat_template = detail::read_chat_template(file);
    config.chat_template_path = path.string();
  }
  std::error_code none;
  if (const auto path = directory / "chat_template.jinja"; std::filesystem::exists(path, none)) {
    config.chat_template = read_text_file(path, std::size_t{1} << 20);
    config.chat_template_path = path.string();
  }
  if (!config.chat_template) config.chat_template_path.clear();
  return config;
}

}  // namespace sdlora
