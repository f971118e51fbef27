#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <sdlora/adapters/options.hpp>
#include <sdlora/error.hpp>
#include <sdlora/io/adapter.hpp>
#include <sdlora/io/peft_adapter.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "fingerprint_flag.hpp"
#include "placements.hpp"

namespace sdlora::examples {

/// --from-adapter, whose values a run begins with, and --ignore-base-fingerprint.
class FromAdapter {
 public:
  explicit FromAdapter(CommandLine& command) : fingerprint_(command, "--from-adapter") {
    command.option("--from-adapter", directory_,
                   "begin a new run at the values of this saved adapter, with its placement, options and "
                   "selection; --resume goes on with such a run where it is given again");
  }
  FromAdapter(const FromAdapter&) = delete;
  FromAdapter& operator=(const FromAdapter&) = delete;

  bool given() const { return !directory_.empty(); }
  const std::filesystem::path& directory() const { return directory_; }

  /// ArgumentError where --ignore-base-fingerprint was given for no adapter.
  void require() const { fingerprint_.require_adapter(given()); }

  /// What the adapter says of itself, its sizes by its selection. FileError where it is none of this
  /// library's.
  AdapterDescription description() const {
    if (is_peft_adapter(directory_)) {
      throw FileError(
          directory_.string(), "",
          "is an adapter of peft, whose placement is none of this program's; give one that sdlora "
          "finetune wrote, or merge this one into its base (sdlora merge) and begin there");
    }
    AdapterDescription a = read_adapter_description(directory_);
    if (!a.selection.layers.empty())
      a.options.set("channels", static_cast<double>(a.selection.layers[0].channels.size()));
    return a;
  }

  /// The name of a description's placement. FileError where this program does not know it.
  static const std::string& placement_name(const AdapterDescription& adapter) {
    for (const auto& choice : Placements::all()) {
      if (choice.learns && choice.placement == adapter.placement) return choice.name;
    }
    throw FileError(
        adapter.path, "field sdlora_adapter.placement",
        detail::in_quotes(adapter.placement) +
            " is none of the placements that this program knows; train it on in a program of your "
            "own with its placement's type");
  }

  /// ArgumentError where --layers gives others than the adapter has.
  void require_layers(const std::vector<LayerRange>& given) const {
    const auto texts = [](const std::vector<LayerRange>& ranges) {
      std::vector<std::string> result;
      for (const LayerRange& range : ranges) {
        result.push_back(range.site + "=" + std::to_string(range.first) + "-" +
                         std::to_string(range.last - 1));
      }
      std::sort(result.begin(), result.end());
      return result;
    };
    const std::vector<std::string> saved = texts(read_adapter_description(directory_).options.layers);
    if (texts(given) == saved) return;
    std::string all;
    for (const std::string& text : saved) all += (all.empty() ? "" : ",") + text;
    throw ArgumentError("--layers: expected " + (all.empty() ? "none" : all) + " as in the adapter " +
                        directory_.string() + ", found others; leave it out");
  }

  /// The adapter's model, whose dropout follows from `seed`. Throws as `load_chosen_adapter`.
  std::unique_ptr<Placements::model_type> load(const AnyBasePointer& base, std::uint64_t seed) const {
    const auto saved = Placements::load_adapter(base, directory_, fingerprint_.value());
    AdapterOptions options = saved->options();
    options.seed = seed;
    auto model = Placements::make(saved->name(), base, saved->selection(), options);
    model->parameters().set_values(saved->parameters().host_values());
    return model;
  }

  /// TrainerOptions::initial_values of a model that was loaded.
  static std::string name_of_values(const Placements::model_type& model) {
    const std::vector<float> values = model.parameters().host_values();
    return "adapter " + fingerprint_text(detail::hash_values(
                            values.size(), [at = values.begin()]() mutable { return *at++; }));
  }

 private:
  std::filesystem::path directory_;
  FingerprintFlag fingerprint_;
};

}  // namespace sdlora::examples
