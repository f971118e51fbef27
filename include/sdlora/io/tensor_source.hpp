#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "json.hpp"
#include "safetensors.hpp"

namespace sdlora {

/// The tensors of a checkpoint, in one safetensors file or in several with an index
/// (`model.safetensors.index.json`, as `transformers` writes it). Cheap to copy.
class TensorSource {
 public:
  /// `path` is a safetensors file, an index, or a directory that holds `model.safetensors` or
  /// `model.safetensors.index.json` (the first wins, as in `transformers`). Every shard is opened
  /// and checked here. FileError where anything is wrong.
  static TensorSource open(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      throw FileError(path.string(), "", "no such file or directory; check the path");
    }
    TensorSource source;
    if (std::filesystem::is_directory(path, error)) {
      const auto single = path / "model.safetensors";
      const auto index = path / "model.safetensors.index.json";
      if (std::filesystem::exists(single, error)) {
        source.open_single(single);
      } else if (std::filesystem::exists(index, error)) {
        source.open_index(index);
      } else {
        throw FileError(path.string(), "",
                        "expected model.safetensors or model.safetensors.index.json, " + found_instead(path));
      }
    } else if (path.extension() == ".json") {
      source.open_index(path);
    } else {
      source.open_single(path);
    }
    return source;
  }

  /// The file or index that was opened.
  const std::string& path() const { return path_; }

  /// The tensors' names, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    result.reserve(owner_.size());
    for (const auto& [name, file] : owner_) result.push_back(name);
    return result;
  }
  std::size_t size() const { return owner_.size(); }
  bool contains(std::string_view name) const { return owner_.find(name) != owner_.end(); }

  /// The file that holds a tensor; FileError where none does.
  const TensorFile& file_of(std::string_view name) const {
    const auto found = owner_.find(name);
    if (found == owner_.end()) {
      throw FileError(path_, detail::tensor_place(name),
                      "missing; the checkpoint holds " + std::to_string(owner_.size()) +
                          " other tensors: use the one that belongs to this configuration");
    }
    return files_[found->second];
  }

  /// dtype and shape; FileError where there is no such tensor.
  const TensorInfo& info(std::string_view name) const { return file_of(name).info(name); }

  /// See `TensorFile::require_shape`.
  void require_shape(std::string_view name, std::span<const std::size_t> shape) const {
    file_of(name).require_shape(name, shape);
  }

  /// See `TensorFile::read`.
  template <TensorElement T>
  void read(std::string_view name, std::span<T> to, ReadOptions options = {}) const {
    file_of(name).read(name, to, options);
  }

  /// See `TensorFile::read_part`.
  template <TensorElement T>
  void read_part(std::string_view name, std::size_t first, std::span<T> to, ReadOptions options = {}) const {
    file_of(name).read_part(name, first, to, options);
  }

  template <TensorElement T>
  std::vector<T> read(std::string_view name, ReadOptions options = {}) const {
    return file_of(name).template read<T>(name, options);
  }

  /// The metadata of the file, or of the shard with the first tensor by name.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata(); }

 private:
  void open_single(const std::filesystem::path& path) {
    path_ = path.string();
    files_.push_back(TensorFile::open(path));
    for (auto& name : files_.front().names()) owner_.emplace(std::move(name), 0);
  }

  void open_index(const std::filesystem::path& path) {
    path_ = path.string();
    const nlohmann::json document =
        read_json(path, {.max_bytes = detail::max_safetensors_header, .max_depth = 8});
    const JsonObject map = JsonObject(document, path_).object("weight_map");
    std::map<std::string, std::size_t> shards;
    for (const auto& [name, value] : map.value().get_ref<const nlohmann::json::object_t&>()) {
      const auto shard = map.required<std::string>(name);
      require_plain_name(map, name, shard);
      owner_.emplace(name, shards.emplace(shard, shards.size()).first->second);
    }
    if (shards.empty()) {
      throw FileError(path_, "field weight_map", "expected tensors, found none; write the checkpoint again");
    }
    std::vector<std::string> order(shards.size());
    for (const auto& [shard, number] : shards) order[number] = shard;
    std::size_t held = 0;
    for (const auto& shard : order) {
      const auto file = path.parent_path() / shard;
      std::error_code error;
      if (!std::filesystem::exists(file, error)) {
        throw FileError(
            path_, "field weight_map",
            "names the file " + detail::in_quotes(shard) + ", which is missing; copy it beside the index");
      }
      files_.push_back(TensorFile::open(file));
      held += files_.back().size();
    }
    for (const auto& [name, number] : owner_) {
      if (!files_[number].contains(name)) {
        throw FileError(
            path_, "field " + map.path_of(name),
            "expected the tensor in " + detail::in_quotes(order[number]) +
                ", which does not hold it; index and files do not belong together: copy both again");
      }
    }
    if (held == owner_.size()) return;
    for (std::size_t number = 0; number < files_.size(); ++number) {
      for (const auto& name : files_[number].names()) {
        const auto found = owner_.find(name);
        if (found != owner_.end() && found->second == number) continue;
        throw FileError(files_[number].path(), detail::tensor_place(name),
                        "not assigned to this file by " + path_ +
                            "; index and files do not belong together: copy both again");
      }
    }
  }

  /// What a folder without safetensors holds instead, and what to do.
  static std::string found_instead(const std::filesystem::path& folder) {
    std::error_code error;
    bool pickled = false;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      pickled = pickled || (name.starts_with("pytorch_model") && name.ends_with(".bin"));
    }
    if (!pickled) return "found neither; give a checkpoint directory";
    // Tied weights share memory there, and some lie transposed, which save_file refuses: clone(),
    // contiguous().
    std::string quoted;
    for (const char c : folder.string()) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return "found pytorch_model.bin; convert it: python3 -c 'import glob, sys, torch, safetensors.torch as "
           "s; "
           "s.save_file({k: v.contiguous().clone() for f in glob.glob(sys.argv[1] + \"/pytorch_model*.bin\") "
           "for k, v in "
           "torch.load(f, map_location=\"cpu\", weights_only=True).items()}, sys.argv[1] + "
           "\"/model.safetensors\", {\"format\": \"pt\"})' '" +
           quoted + "'";
  }

  /// A shard lies beside its index: nothing else may be reached through one.
  static void require_plain_name(const JsonObject& map, const std::string& tensor, const std::string& shard) {
    const bool plain = !shard.empty() && shard.size() < 256 && shard.ends_with(".safetensors") &&
                       shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) {
      map.fail(tensor, "expected the plain name of a .safetensors file beside the index, found " +
                           detail::in_quotes(shard) + "; correct it");
    }
  }

  std::string path_;
  std::vector<TensorFile> files_;
  std::map<std::string, std::size_t, std::less<>> owner_;  // name → which of files_
};

}  // namespace sdlora
