#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "../../error.hpp"
#include "../safetensors.hpp"

namespace sdlora::detail {

inline constexpr const char* adapter_file = "adapter.safetensors";

/// Why a directory has no adapter.safetensors, by what it has instead.
inline std::string why_no_adapter(const std::filesystem::path& directory) {
  std::error_code none;
  const auto has = [&](const char* name) { return std::filesystem::exists(directory / name, none); };
  if (!std::filesystem::exists(directory, none))
    return "no such folder; give the one that sdlora finetune wrote to";
  if (has("adapter_config.json")) {
    return "missing, but there is an adapter of peft; sdlora generate, score and merge take its folder "
           "as --adapter, and a program loads it with load_peft_adapter or apply_peft_adapter";
  }
  if (has("checkpoint/checkpoint.safetensors")) {
    return "missing, for the run in this folder has not ended; the same sdlora finetune command with "
           "--resume ends it";
  }
  if (has("metrics.jsonl") || has("checkpoint")) {
    return "missing, for the run in this folder ended before its first checkpoint; run sdlora finetune again";
  }
  if (has("config.json")) {
    return "missing, but there is a checkpoint; give that as the model, and here the folder of an adapter";
  }
  return "missing; give the folder that sdlora finetune wrote to";
}

/// The file of an adapter directory. FileError where there is none, with what the directory seems to be.
inline TensorFile open_adapter(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / adapter_file;
  std::error_code none;
  if (!std::filesystem::exists(file, none)) throw FileError(file.string(), "", why_no_adapter(directory));
  return TensorFile::open(file);
}

}  // namespace sdlora::detail
