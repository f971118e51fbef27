#pragma once

#include "../adapters/describe.hpp"
#include "../error.hpp"
#include "../io/adapter.hpp"
#include "../io/utf8.hpp"
#include "any_model.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace sdlora {

/// What is known of a named placement at run time.
template <class Model>
struct ModelChoice {
  using base_pointer = std::shared_ptr<const typename Model::base_type>;

  std::string name;
  std::string description;
  std::string placement;  ///< as adapter files hold it
  bool learns = true;
  bool selects = false;  ///< it needs a Selection
  std::unique_ptr<Model> (*make)(base_pointer, const Selection&, const AdapterOptions&) = nullptr;
  Selection (*select)(base_pointer, std::span<const Example>, const SelectionOptions&) = nullptr;
};

/// The model of an adapter directory, by the choice whose placement its file names. FileError where that is
/// none of `choices`, and as `load_adapter_with`.
template <class Model>
std::unique_ptr<Model> load_chosen_adapter(std::span<const ModelChoice<Model>> choices,
                                           std::shared_ptr<const typename Model::base_type> base,
                                           const std::filesystem::path& directory,
                                           BaseFingerprint same = BaseFingerprint::Required) {
  std::error_code none;
  if (std::filesystem::is_regular_file(directory, none)) {
    throw FileError(directory.string(), "",
                    "expected the directory of an adapter, found a file; give the directory that holds it");
  }
  const AdapterDescription description = read_adapter_description(directory);
  for (const ModelChoice<Model>& each : choices) {
    if (each.placement != description.placement || description.placement.empty()) continue;
    return load_adapter_with(
        *base, description.placement, directory,
        [&](const Selection& selection, const AdapterOptions& options) {
          return each.make(base, selection, options);
        },
        same);
  }
  throw FileError(description.path, "field sdlora_adapter.placement",
                  detail::in_quotes(description.placement) +
                      " is none of the placements that this program can choose; load it in a program of your "
                      "own with its placement's type");
}

/// Named placements to choose from at run time, for models on bases of type C, run as X says.
template <Config C, class X, NamedPlacement... Names>
class ModelChoicesOf {
 public:
  using model_type = AnyModel<C, X>;
  using base_type = typename model_type::base_type;
  using base_pointer = std::shared_ptr<const base_type>;
  using choice_type = ModelChoice<model_type>;

  /// In the order of the list.
  static const std::vector<choice_type>& all() {
    static const std::vector<choice_type> choices{
        {std::string(Names::name), std::string(Names::description), describe<typename Names::placement>(),
         Names::placement::learns, Names::placement::selects, &ModelMaker<Names, C, X>::make,
         &ModelMaker<Names, C, X>::select}...};
    return choices;
  }

  /// The choice of that name. Throws ArgumentError that lists the names of those that learn.
  static const choice_type& find(std::string_view name) {
    std::string names;
    for (const choice_type& each : all()) {
      if (each.name == name) return each;
      if (each.learns) names += (names.empty() ? "" : ", ") + each.name;
    }
    throw ArgumentError("placement '" + std::string(name) + "' is not known; choose one of " + names);
  }

  /// A fresh model of the placement `name`.
  static std::unique_ptr<model_type> make(std::string_view name, base_pointer base,
                                          const Selection& selection = {},
                                          const AdapterOptions& options = {}) {
    return find(name).make(std::move(base), selection, options);
  }

  /// SDLoRA's first phase for the placement `name`. Throws ArgumentError where that selects nothing.
  static Selection select(std::string_view name, base_pointer base, std::span<const Example> data,
                          const SelectionOptions& options) {
    return find(name).select(std::move(base), data, options);
  }

  /// The model of an adapter directory, whichever of the placements it was trained with. Throws as
  /// `load_chosen_adapter`.
  static std::unique_ptr<model_type> load_adapter(base_pointer base, const std::filesystem::path& directory,
                                                  BaseFingerprint same = BaseFingerprint::Required) {
    return load_chosen_adapter<model_type>(all(), std::move(base), directory, same);
  }
};

/// The same on bases of any size, in float on the Cpu.
template <NamedPlacement... Names>
using ModelChoices = ModelChoicesOf<presets::AnyMamba, float, Names...>;

}  // namespace sdlora
