#pragma once

#include "../adapters/parameter_store.hpp"
#include "../io/safetensors.hpp"
#include "../io/safetensors_writer.hpp"
#include "../tensor/host_copy.hpp"
#include "../text.hpp"
#include "adamw.hpp"
#include "best_evaluation.hpp"
#include "run_identity.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdlora {

namespace detail {
inline constexpr const char* checkpoint_format = "sdlora checkpoint 2";
/// Before the names of parameters: their values, then AdamW's moments of them, then, where a run keeps them,
/// the values of its best evaluation.
inline constexpr const char* checkpoint_prefixes[4] = {"", "first_moment.", "second_moment.", "best."};

/// The number that a checkpoint's text, its metadata `key`, must be.
template <class Number>
Number checkpoint_number(const std::string& file, const std::string& key, std::string_view digits) {
  Number number{};
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem == std::errc() && end == digits.data() + digits.size()) return number;
  throw FileError(file, "header.__metadata__." + key, "expected a number; remove the checkpoint");
}

/// Throws FileError where a checkpoint is of a run of other settings, or, and then it says why, of another
/// number of steps.
template <class Found>
void require_same_training(const std::string& file, const RunIdentity& expected, const Found& found) {
  const std::string place = "header.__metadata__.run.";
  RunIdentity others = expected;
  std::erase_if(others, [](const auto& entry) { return entry.first == "steps"; });
  require_same_run(file, place, "checkpoint", others, found);
  for (const auto& [key, text] : expected) {
    const std::string* const there = found(key);
    if (key != "steps" || there == nullptr || *there == text) continue;
    throw FileError(
        file, place + key,
        "the checkpoint is of a run with steps = " + in_quotes(*there) + ", this one has " + in_quotes(text) +
            ": where the learning rate falls, that of every step follows from their number, so a "
            "longer run begins otherwise; give as many steps or epochs as before, or begin anew in "
            "another directory (a run of constant decay goes on with any number of steps)");
  }
  require_same_run(file, place, "checkpoint", expected, found);
}
}  // namespace detail

/// Writes what a run needs to go on from here: the values that learn, the optimizer's moments, the
/// number of steps, the best evaluation and the run's identity, as one safetensors file that replaces the
/// last one by a rename. Random numbers and the place in the data follow from the step. Throws FileError;
/// Error where a value or a moment is not finite, and then leaves the last checkpoint as it is.
template <class T, class D>
void save_checkpoint(const std::filesystem::path& path, const ParameterStore<T, D>& store,
                     const AdamW<T, D>& optimizer, const RunIdentity& identity,
                     const std::type_identity_t<BestEvaluation<T>>& best = {}) {
  optimizer.require_size(store);
  constexpr Dtype dtype = sizeof(T) == 8 ? Dtype::F64 : Dtype::F32;
  SafetensorsWriter writer;
  writer.set_metadata("format", detail::checkpoint_format);
  writer.set_metadata("step", std::to_string(optimizer.steps()));
  if (best.step != 0) {
    writer.set_metadata("best.step", std::to_string(best.step));
    writer.set_metadata("best.value", detail::short_number(best.value));
  }
  writer.set_metadata("evaluations_since_best", std::to_string(best.since));
  for (const auto& [key, text] : identity) writer.set_metadata("run." + key, text);
  const HostCopy value_copy(store.value_row()), first_copy(optimizer.first_moments()),
      second_copy(optimizer.second_moments());
  const std::span<const T> values[4] = {value_copy.values(), first_copy.values(), second_copy.values(),
                                        best.parameters};
  const std::size_t kinds = best.parameters.empty() ? 3 : 4;
  for (const ParameterInfo& entry : store.entries()) {
    for (std::size_t kind = 0; kind < kinds; ++kind) {
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
/// made; `best` gets the best evaluation. Throws FileError, and changes nothing, where the file is damaged,
/// of another run, or of more than `most_steps`.
template <class T, class D>
std::uint64_t load_checkpoint(const std::filesystem::path& path, ParameterStore<T, D>& store,
                              AdamW<T, D>& optimizer, const RunIdentity& identity,
                              std::type_identity_t<BestEvaluation<T>>* best = nullptr,
                              std::uint64_t most_steps = std::numeric_limits<std::uint64_t>::max()) {
  const TensorFile file = TensorFile::open(path);
  const auto find = [&](const std::string& key) -> const std::string* {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? nullptr : &found->second;
  };
  const auto text = [&](const std::string& key) -> const std::string& {
    if (const std::string* const found = find(key)) return *found;
    throw FileError(file.path(), "header.__metadata__." + key,
                    "missing; this is no checkpoint of this version: remove it to begin anew");
  };
  if (text("format") != detail::checkpoint_format) {
    throw FileError(file.path(), "header.__metadata__.format",
                    std::string("expected \"") + detail::checkpoint_format +
                        "\", found another; remove the checkpoint to begin anew");
  }
  detail::require_same_training(file.path(), identity,
                                [&](const std::string& key) { return find("run." + key); });
  const auto number = [&](const std::string& key) {
    return detail::checkpoint_number<std::uint64_t>(file.path(), key, text(key));
  };
  const std::uint64_t step = number("step");
  if (step > most_steps) {
    throw FileError(file.path(), "header.__metadata__.step",
                    "the checkpoint is of step " + std::to_string(step) + ", beyond the " +
                        std::to_string(most_steps) + " of this run; give at least as many steps or epochs");
  }
  BestEvaluation<T> found_best;
  if (find("evaluations_since_best") != nullptr) found_best.since = number("evaluations_since_best");
  if (find("best.step") != nullptr) {
    found_best.step = number("best.step");
    found_best.value = detail::checkpoint_number<double>(file.path(), "best.value", text("best.value"));
  }
  const std::size_t count = store.entries().size();
  const std::size_t kinds = file.size() == 4 * count ? 4 : 3;
  if (file.size() != kinds * count) {
    throw FileError(file.path(), "",
                    "expected " + std::to_string(3 * count) + " tensors, or " + std::to_string(4 * count) +
                        " with those of the best evaluation, found " + std::to_string(file.size()) +
                        "; the checkpoint is of another placement");
  }
  std::vector<T> values[4];
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    values[kind].resize(store.size());
    for (const ParameterInfo& entry : store.entries()) {
      const std::string name = detail::checkpoint_prefixes[kind] + entry.name;
      file.require_shape(name, std::vector<std::size_t>{entry.rows, entry.cols});
      file.read(name, std::span<T>(values[kind]).subspan(entry.offset, entry.size()));
    }
  }
  store.set_values(values[0]);
  optimizer.restore(values[1], values[2], step);
  if (best != nullptr) {
    found_best.parameters = std::move(values[3]);
    *best = std::move(found_best);
  }
  return step;
}

}  // namespace sdlora
