#pragma once

#include "../adapters/parameter_store.hpp"
#include "../io/safetensors.hpp"
#include "../io/safetensors_writer.hpp"
#include "../tensor/host_copy.hpp"
#include "adamw.hpp"
#include "run_identity.hpp"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

namespace detail {
inline constexpr const char* checkpoint_format = "sdlora checkpoint 2";
/// Before the names of parameters: their values, then AdamW's moments of them.
inline constexpr const char* checkpoint_prefixes[3] = {"", "first_moment.", "second_moment."};
}  // namespace detail

/// Writes what a run needs to go on from here: the values that learn, the optimizer's moments, the
/// number of steps and the run's identity, as one safetensors file that replaces the last one by a
/// rename. Random numbers and the place in the data follow from the step. Throws FileError; Error
/// where a value or a moment is not finite, and then leaves the last checkpoint as it is.
template <class T, class D>
void save_checkpoint(const std::filesystem::path& path, const ParameterStore<T, D>& store,
                     const AdamW<T, D>& optimizer, const RunIdentity& identity) {
  optimizer.require_size(store);
  constexpr Dtype dtype = sizeof(T) == 8 ? Dtype::F64 : Dtype::F32;
  SafetensorsWriter writer;
  writer.set_metadata("format", detail::checkpoint_format);
  writer.set_metadata("step", std::to_string(optimizer.steps()));
  for (const auto& [key, text] : identity) writer.set_metadata("run." + key, text);
  const HostCopy value_copy(store.value_row()), first_copy(optimizer.first_moments()),
      second_copy(optimizer.second_moments());
  const std::span<const T> values[3] = {value_copy.values(), first_copy.values(), second_copy.values()};
  for (const ParameterInfo& entry : store.entries()) {
    for (std::size_t kind = 0; kind < 3; ++kind) {
      const std::string name = detail::checkpoint_prefixes[kind] + entry.name;
      const std::span<const T> part = values[kind].subspan(entry.offset, entry.size());
      // Of the moments as well: a file with one that is not would be refused when the run goes on.
      if (detail::find_not_finite(part) != part.size()) {
        throw Error("save_checkpoint: " + name + " is not finite after step " +
                    std::to_string(optimizer.steps()) + "; nothing was written to " + path.string() +
                    "; begin anew with a lower learning rate, in another directory");
      }
      writer.add(name, dtype, {entry.rows, entry.cols}, part);
    }
  }
  writer.save(path);
}

/// Puts a run back where the checkpoint was written, bit for bit, and returns the number of steps
/// made. Throws FileError, and changes nothing, where the file is damaged or of another run.
template <class T, class D>
std::uint64_t load_checkpoint(const std::filesystem::path& path, ParameterStore<T, D>& store,
                              AdamW<T, D>& optimizer, const RunIdentity& identity) {
  const TensorFile file = TensorFile::open(path);
  const auto text = [&](const std::string& key) -> const std::string& {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) {
      throw FileError(file.path(), "header.__metadata__." + key,
                      "missing; this is no checkpoint of this version: remove it to begin anew");
    }
    return found->second;
  };
  if (text("format") != detail::checkpoint_format) {
    throw FileError(file.path(), "header.__metadata__.format",
                    std::string("expected \"") + detail::checkpoint_format +
                        "\", found another; remove the checkpoint to begin anew");
  }
  detail::require_same_run(file.path(), "header.__metadata__.run.", "checkpoint", identity,
                           [&](const std::string& key) {
                             const auto found = file.metadata().find("run." + key);
                             return found == file.metadata().end() ? nullptr : &found->second;
                           });
  const std::string& digits = text("step");
  std::uint64_t step = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (problem != std::errc() || end != digits.data() + digits.size()) {
    throw FileError(file.path(), "header.__metadata__.step",
                    "expected a number of steps; remove the checkpoint");
  }
  if (file.size() != 3 * store.entries().size()) {
    throw FileError(file.path(), "",
                    "expected " + std::to_string(3 * store.entries().size()) + " tensors, found " +
                        std::to_string(file.size()) + "; the checkpoint is of another placement");
  }
  std::vector<T> values[3];
  for (std::size_t kind = 0; kind < 3; ++kind) {
    values[kind].resize(store.size());
    for (const ParameterInfo& entry : store.entries()) {
      const std::string name = detail::checkpoint_prefixes[kind] + entry.name;
      file.require_shape(name, std::vector<std::size_t>{entry.rows, entry.cols});
      file.read(name, std::span<T>(values[kind]).subspan(entry.offset, entry.size()));
    }
  }
  store.set_values(values[0]);
  optimizer.restore(values[1], values[2], step);
  return step;
}

}  // namespace sdlora
