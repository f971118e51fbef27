#include "any_model.hpp"

#include <sdlora/io/adapter.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/utf8.hpp>
#include <system_error>

#include "model_of.hpp"

namespace sdlora::examples {

// One of each in its own translation unit.
PlacementEntry frozen_entry();
PlacementEntry prompt_entry();
PlacementEntry prefix_entry();
PlacementEntry initial_state_entry();
PlacementEntry bitfit_entry();
PlacementEntry lora_ssm_entry();
PlacementEntry lora_linear_entry();
PlacementEntry lora_all_entry();
PlacementEntry lora_out_entry();
PlacementEntry sdlora_entry();
PlacementEntry sdlora_linear_entry();
PlacementEntry full_entry();

namespace {

const std::vector<PlacementEntry>& entries() {
  static const std::vector<PlacementEntry> all{frozen_entry(),        prompt_entry(),        prefix_entry(),
                                               initial_state_entry(), bitfit_entry(),        lora_ssm_entry(),
                                               lora_linear_entry(),   lora_all_entry(),      lora_out_entry(),
                                               sdlora_entry(),        sdlora_linear_entry(), full_entry()};
  return all;
}

const PlacementEntry& entry(const std::string& name) {
  std::string names;
  for (const PlacementEntry& each : entries()) {
    if (each.choice.name == name) return each;
    if (each.choice.name == "frozen") continue;  // trains nothing: no choice where one is asked for
    names += (names.empty() ? "" : ", ") + each.choice.name;
  }
  throw ArgumentError("placement '" + name + "' is not known; choose one of " + names);
}

}  // namespace

AnyBasePointer load_any_base(const std::filesystem::path& directory) {
  return load_base<presets::AnyMamba>(directory);
}

const std::vector<PlacementChoice>& placement_choices() {
  static const std::vector<PlacementChoice> choices = [] {
    std::vector<PlacementChoice> result;
    for (const PlacementEntry& each : entries()) result.push_back(each.choice);
    return result;
  }();
  return choices;
}

const PlacementChoice& placement_choice(const std::string& name) { return entry(name).choice; }

std::unique_ptr<AnyModel> make_model(const std::string& name, AnyBasePointer base, const Selection& selection,
                                     const AdapterOptions& options) {
  return entry(name).make(std::move(base), selection, options);
}

Selection select_for(const std::string& name, AnyBasePointer base, std::span<const Example> data,
                     const SelectionOptions& options) {
  if (entry(name).select == nullptr) throw ArgumentError("placement '" + name + "' selects no dimensions");
  return entry(name).select(std::move(base), data, options);
}

std::unique_ptr<AnyModel> load_any_adapter(AnyBasePointer base, const std::filesystem::path& directory) {
  std::error_code none;
  if (std::filesystem::is_regular_file(directory, none)) {
    throw FileError(directory.string(), "",
                    "expected the directory of an adapter, found a file; give the directory that holds it");
  }
  const AdapterDescription description = read_adapter_description(directory);
  for (const PlacementEntry& each : entries()) {
    if (each.choice.placement == description.placement && !description.placement.empty()) {
      return load_adapter_with(*base, description.placement, directory,
                               [&](const Selection& selection, const AdapterOptions& options) {
                                 return each.make(base, selection, options);
                               });
    }
  }
  throw FileError(description.path, "field sdlora_adapter.placement",
                  detail::in_quotes(description.placement) +
                      " is none of the presets that the programs know; load it in a "
                      "program of your own with its placement's type");
}

}  // namespace sdlora::examples
