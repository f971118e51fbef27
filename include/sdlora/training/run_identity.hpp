#pragma once

#include "../adapters/options.hpp"
#include "../adapters/parameter_store.hpp"
#include "../adapters/selected_dimensions.hpp"
#include "../error.hpp"
#include "../io/utf8.hpp"
#include "../layers/mamba/config.hpp"
#include "../model/base.hpp"
#include "../model/example.hpp"
#include "../model/fingerprint.hpp"
#include "../model/language_model.hpp"
#include "../text.hpp"
#include "adamw.hpp"
#include "schedule.hpp"
#include "selection_options.hpp"
#include "settings.hpp"
#include "trainer_options.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

/// What a run is, as named texts: its base, placement, data, every option that decides a number. A
/// file that a run goes on from belongs to exactly one of them.
using RunIdentity = std::vector<std::pair<std::string, std::string>>;

namespace detail {

/// Training data in a RunIdentity.
inline std::string data_text(std::span<const Example> examples) {
  return std::to_string(examples.size()) + " examples " + fingerprint_text(fingerprint(examples));
}

/// Throws FileError where a file is of another run than `expected`. `found(key)` is the text that the
/// file holds, or null, `place` what comes before the key where it stands, `what` the thing in the file.
/// A key that the file lacks stands for an empty text.
template <class Found>
void require_same_run(const std::string& file, const std::string& place, const std::string& what,
                      const RunIdentity& expected, const Found& found) {
  for (const auto& [key, text] : expected) {
    const std::string* const there = found(key);
    const std::string other = there == nullptr ? std::string() : *there;
    if (other == text) continue;
    if (there == nullptr) {
      throw FileError(file, place + key,
                      "missing: nothing says that the " + what + " is of this run, which has " + key + " = " +
                          in_quotes(text) + "; begin anew in another directory");
    }
    throw FileError(file, place + key,
                    "the " + what + " is of a run with " + key + " = " + in_quotes(other) +
                        ", this one has " + in_quotes(text) +
                        "; resume with the base, data and settings of that run, or begin anew in another "
                        "directory");
  }
}

inline std::string setting_text(double value) { return short_number(value); }
/// As files without the setting have it, where it is false.
inline std::string setting_text(bool value) { return value ? "yes" : ""; }
template <std::unsigned_integral Number>
std::string setting_text(Number value) {
  return std::to_string(value);
}
inline std::string setting_text(Decay value) { return std::string(decay_name(value)); }
inline std::string setting_text(const std::vector<ParameterGroup>& groups) {
  std::string text;
  for (const ParameterGroup& group : groups) {
    text += group.site + ":" + short_number(group.rate_factor) + ":" + short_number(group.weight_decay) + " ";
  }
  return text;
}

/// The policies' options that have no key of their own in an identity, as "out_proj.alpha=4 rate_ratio=16".
/// The number and shapes of what learns say the sizes.
inline std::string other_options_text(const AdapterOptions& options) {
  std::vector<std::string> texts;
  for (const AdapterOptions::Value& value : options.values()) {
    const auto is = [&](std::initializer_list<std::string_view> names) {
      return std::find(names.begin(), names.end(), value.name) != names.end();
    };
    if (is({"rank", "channels", "states", "prompt_length"})) continue;
    if (value.site.empty() && is({"alpha", "dropout"})) continue;
    texts.push_back((value.site.empty() ? "" : value.site + ".") + value.name + "=" +
                    short_number(value.number));
  }
  std::sort(texts.begin(), texts.end());
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : " ") + text;
  return all;
}

/// Appends the settings of `options` as texts, but those that only say when a run ends.
template <class Options>
void append_settings(RunIdentity& identity, const Options& options) {
  const std::size_t before = identity.size();
  visit_settings(options, [&](const Setting& setting, const auto& value) {
    if (setting.ends_only) return;
    const std::string_view key = setting.identity_key();
    if (identity.size() > before && identity.back().first == key) {
      identity.back().second += " " + setting_text(value);
    } else {
      identity.emplace_back(key, setting_text(value));
    }
  });
}

}  // namespace detail

namespace detail {

/// Which base a run is on; its values alone do not say how products read them.
template <Config C, class T, class D>
std::string base_text(const Base<C, T, D>& base) {
  return fingerprint_text(fingerprint(base)) +
         (base.weights() == StoredType::Scalar ? "" : " " + std::string(stored_type_name(base.weights())));
}

}  // namespace detail

/// What a training run is: the model's base, placement, selection and adapter options, the data and the
/// options of the run, which makes `total` steps.
template <TrainableModel Model>
RunIdentity training_identity(const Model& model, std::span<const Example> examples,
                              const TrainerOptions& options, std::uint64_t total) {
  const auto number = [](double value) { return detail::short_number(value); };
  const auto& adapters = model.options();
  detail::Hash parameters;
  std::size_t values = 0;
  for (const ParameterInfo& entry : model.parameters().entries()) {
    values += entry.rows * entry.cols;
    parameters.add(entry.name);
    parameters.add(static_cast<std::uint64_t>(entry.rows));
    parameters.add(static_cast<std::uint64_t>(entry.cols));
  }
  detail::Hash selection;
  for (const auto& layer : model.selection().layers) {
    for (const std::uint32_t c : layer.channels) selection.add(std::uint64_t{c});
    for (const std::uint32_t n : layer.states) selection.add(std::uint64_t{n});
  }
  RunIdentity identity{
      {"base", detail::base_text(*model.base())},
      {"placement", model.placement()},
      {"parameters", std::to_string(values) + " values " + fingerprint_text(parameters.value())},
      {"selection", fingerprint_text(selection.value())},
      {"alpha", number(adapters.number("alpha", 0.0))},
      {"dropout", number(adapters.number("dropout", 0.0))},
      {"options", detail::other_options_text(adapters)},
      {"adapter_seed", std::to_string(adapters.seed)},
      {"initial_values", options.initial_values},
      {"data", detail::data_text(examples)}};
  TrainerOptions settings = options;
  settings.steps = static_cast<std::size_t>(total);
  detail::append_settings(identity, settings);
  return identity;
}

/// What a selection follows from: base, placement (as `describe` writes it), data and options; not a
/// score of one's own. A file of the selection that carries it is refused where another would be made.
template <Config C, class T, class D, class Data>
RunIdentity selection_identity(const Base<C, T, D>& base, const std::string& placement, const Data& data,
                               const SelectionOptions& options) {
  const auto number = [](double value) { return detail::short_number(value); };
  const AdapterOptions& adapters = options.adapters;
  const std::size_t channels = adapters.of<SelectedOptions>().channels;
  const auto size = [&](const char* name, double usual) { return number(adapters.number(name, usual)); };
  std::string layers;
  for (const LayerRange& range : adapters.layers) {
    layers += range.site + ":" + std::to_string(range.first) + ":" +
              std::to_string(std::min(range.last, base.dimensions().n_layer)) + " ";
  }
  RunIdentity identity{{"base", detail::base_text(base)},
                       {"placement", placement},
                       {"data", detail::data_text(examples_of(data))}};
  detail::append_settings(identity, options);
  if (options.criterion != SelectionCriterion::Change) {
    identity.emplace_back("criterion", selection_criterion_name(options.criterion));
  }
  if (options.steps == 0) identity.emplace_back("epochs", std::to_string(options.epochs));
  const RunIdentity adapter{
      {"rank", size("rank", 8)},
      {"alpha", size("alpha", 0)},
      {"dropout", size("dropout", 0)},
      {"channels", std::to_string(channels != 0 ? channels : detail::one_percent(base.dimensions().d_inner))},
      {"states", size("states", 4)},
      {"prompt_length", size("prompt_length", 16)},
      {"options", detail::other_options_text(adapters)},
      {"layers", layers},
      {"adapter_seed", std::to_string(adapters.seed)}};
  identity.insert(identity.end(), adapter.begin(), adapter.end());
  return identity;
}

}  // namespace sdlora
