#pragma once

#include "../adapters/describe.hpp"
#include "../model/fingerprint.hpp"
#include "../model/mamba_model.hpp"
#include "atomic_file.hpp"
#include "json.hpp"
#include "safetensors.hpp"
#include "safetensors_writer.hpp"
#include "selection_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// What an adapter file says besides its values: enough to build the model that it belongs to.
struct AdapterDescription {
  std::string path;       ///< of the file
  std::string placement;  ///< as `describe` writes it
  AdapterOptions options;
  Selection selection;
  std::uint64_t base = 0;  ///< fingerprint of the base
  MambaDimensions dimensions;
};

namespace detail {

/// Values and description are one file, so that one rename replaces both: killed at any moment, a
/// program leaves the old adapter or the new one.
inline constexpr const char* adapter_file = "adapter.safetensors";
/// The metadata that holds the description, as JSON.
inline constexpr const char* adapter_key = "sdlora_adapter";
inline constexpr std::size_t adapter_format = 1;

inline std::string adapter_text(const AdapterDescription& a) {
  std::string text = "{\"format\": " + std::to_string(adapter_format);
  const auto set = [&](const char* key, const std::string& value) {
    text += ",\n \"" + std::string(key) + "\": " + value;
  };
  const MambaDimensions& m = a.dimensions;
  set("placement", json_string(a.placement));
  set("base_fingerprint", json_string(fingerprint_text(a.base)));
  set("d_model", std::to_string(m.d_model));
  set("n_layer", std::to_string(m.n_layer));
  set("vocab_size", std::to_string(m.vocab_size));
  set("dt_rank", std::to_string(m.dt_rank));
  set("rank", std::to_string(a.options.rank));
  set("alpha", short_number(a.options.alpha));
  set("dropout", short_number(a.options.dropout));
  set("channels", std::to_string(a.options.channels));
  set("states", std::to_string(a.options.states));
  set("prompt_length", std::to_string(a.options.prompt_length));
  std::string ranges;
  for (const LayerRange& range : a.options.layers) {
    ranges += (ranges.empty() ? "" : ", ") + std::string("{\"site\": ") + json_string(range.site) +
              ", \"first\": " + std::to_string(range.first) +
              ", \"last\": " + std::to_string(std::min(range.last, m.n_layer)) + "}";
  }
  set("layers", "[" + ranges + "]");
  set("selection", selection_text(a.selection));
  return text + "}";
}

inline AdapterDescription parse_adapter(const nlohmann::json& document, const std::string& path) {
  const JsonObject json(document, path, adapter_key);
  if (const auto format = json.required<std::size_t>("format"); format != adapter_format) {
    json.fail("format", "expected " + std::to_string(adapter_format) + ", found " + std::to_string(format) +
                            "; the adapter was written by another version of the library: use that one");
  }
  AdapterDescription a;
  a.path = path;
  a.placement = json.required<std::string>("placement");
  const auto fingerprint = json.required<std::string>("base_fingerprint");
  if (fingerprint.size() != 16 || fingerprint.find_first_not_of("0123456789abcdef") != std::string::npos) {
    json.fail("base_fingerprint",
              "expected 16 hexadecimal digits, found " + in_quotes(fingerprint) + "; save the adapter again");
  }
  a.base = std::stoull(fingerprint, nullptr, 16);
  a.dimensions.d_model = json.required<std::size_t>("d_model");
  a.dimensions.n_layer = json.required<std::size_t>("n_layer");
  a.dimensions.vocab_size = json.required<std::size_t>("vocab_size");
  a.dimensions.dt_rank = json.required<std::size_t>("dt_rank");
  a.options.rank = json.required<std::size_t>("rank");
  a.options.alpha = json.required<double>("alpha");
  a.options.dropout = json.required<double>("dropout");
  a.options.channels = json.required<std::size_t>("channels");
  a.options.states = json.required<std::size_t>("states");
  a.options.prompt_length = json.required<std::size_t>("prompt_length");
  constexpr std::size_t most_ranges = 64;  // a placement has fewer sites
  const nlohmann::json* list = json.find("layers");
  if (list == nullptr || !list->is_array() || list->size() > most_ranges) {
    json.fail("layers", "expected a list of at most " + std::to_string(most_ranges) +
                            " objects, one for each site with a range; save the adapter again");
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject range((*list)[i], path, json.path_of("layers") + "[" + std::to_string(i) + "]");
    a.options.layers.push_back({range.required<std::string>("site"), range.required<std::size_t>("first"),
                                range.required<std::size_t>("last")});
  }
  a.selection = parse_selection(json, a.dimensions.n_layer);
  return a;
}

inline AdapterDescription describe_adapter(const TensorFile& file) {
  const auto text = file.metadata().find(adapter_key);
  if (text == file.metadata().end()) {
    throw FileError(file.path(), std::string("header.__metadata__.") + adapter_key,
                    "missing; this is no adapter of this library: give a directory that save_adapter or "
                    "finetune wrote");
  }
  const nlohmann::json document =
      parse_json(text->second, {.file = file.path(), .part = adapter_key, .one_line = true},
                 {.max_bytes = max_safetensors_header, .max_depth = 8, .max_values = max_safetensors_header});
  return parse_adapter(document, file.path());
}

/// `size` where all parameters whose name or site `belongs` accepts have one number of rows: that
/// number. A type's static sizes are not among its options.
template <class T, class Belongs>
void take_rows(const ParameterStore<T>& store, const Belongs& belongs, std::size_t& size) {
  std::size_t found = 0;
  for (const ParameterInfo& entry : store.entries()) {
    if (!belongs(entry)) continue;
    if (found != 0 && found != entry.rows) return;
    found = entry.rows;
  }
  if (found != 0) size = found;
}

}  // namespace detail

/// Writes what a model has learned into `directory`, which is made where missing, as one file,
/// adapter.safetensors: the values, and in its metadata placement, options, selection and the base's
/// identity. It appears complete or not at all. Throws FileError.
template <class Model>
void save_adapter(const Model& model, const std::filesystem::path& directory) {
  static_assert(Model::placement_type::learns,
                "sdlora::save_adapter: this placement trains nothing, so there is nothing to save");
  using T = typename Model::value_type;
  make_directories(directory);
  const auto& store = model.parameters();
  AdapterDescription a;
  a.placement = model.placement();
  a.options = model.options();
  // The sizes as they are, not as the options left them open.
  const AdapterSizes sizes = adapter_sizes(a.options, model.dimensions());
  a.selection = model.selection();
  const bool selects = !a.selection.layers.empty();
  a.options.channels = selects ? a.selection.layers[0].channels.size() : sizes.channels;
  a.options.states = selects ? a.selection.layers[0].states_per_channel() : sizes.states;
  detail::take_rows(
      store, [](const ParameterInfo& e) { return e.name.ends_with(".lora_A"); }, a.options.rank);
  detail::take_rows(
      store,
      [](const ParameterInfo& e) { return e.site == site::Prompt::name || e.site == site::Prefix::name; },
      a.options.prompt_length);
  a.base = fingerprint(*model.base());
  a.dimensions = model.dimensions();

  SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata(detail::adapter_key, detail::adapter_text(a));
  for (const ParameterInfo& entry : store.entries()) {
    writer.add(entry.name, sizeof(T) == 8 ? Dtype::F64 : Dtype::F32, {entry.rows, entry.cols},
               store.values(entry));
  }
  writer.save(directory / detail::adapter_file);
}

/// What the adapter in a directory says of itself. Throws FileError.
inline AdapterDescription read_adapter_description(const std::filesystem::path& directory) {
  return detail::describe_adapter(TensorFile::open(directory / detail::adapter_file));
}

namespace detail {

/// Refuses an adapter of another base or placement, or with sizes that its values do not have: a
/// hostile description must not make a model large. Completes the selection.
template <class BaseType>
void check_adapter(AdapterDescription& a, const std::string& placement, const BaseType& base,
                   const TensorFile& values) {
  const MambaDimensions& m = base.dimensions();
  const auto refuse = [&](const char* field, const std::string& what) {
    throw FileError(a.path, field, what);
  };
  if (a.placement != placement) {
    refuse("placement", "expected \"" + placement + "\", found \"" + a.placement +
                            "\"; load it into a model of the placement that it was trained with");
  }
  const auto compare = [&](const char* field, std::size_t expected, std::size_t found) {
    if (expected != found) {
      refuse(field, "expected " + std::to_string(expected) + " as in the base, found " +
                        std::to_string(found) + "; give the base that the adapter was trained on");
    }
  };
  compare("d_model", m.d_model, a.dimensions.d_model);
  compare("n_layer", m.n_layer, a.dimensions.n_layer);
  compare("vocab_size", m.vocab_size, a.dimensions.vocab_size);
  compare("dt_rank", m.dt_rank, a.dimensions.dt_rank);
  if (const std::uint64_t found = fingerprint(base); found != a.base) {
    refuse("base_fingerprint", "expected " + fingerprint_text(a.base) + ", but the base given has " +
                                   fingerprint_text(found) +
                                   ": its weights differ; give the base that the adapter was trained on");
  }
  std::size_t stored = 0;
  for (const std::string& name : values.names()) stored += values.info(name).elements();
  const AdapterSizes sizes = adapter_sizes(a.options, m);
  if (sizes.rank > stored || sizes.channels > m.d_inner || sizes.states > m.d_state ||
      sizes.prompt_length > std::max<std::size_t>(stored, AdapterOptions{}.prompt_length)) {
    refuse("rank", "sizes larger than " + values.path() +
                       " holds values for; save the adapter again");
  }
  if (!a.selection.layers.empty()) {
    a.selection.d_inner = m.d_inner;
    a.selection.d_state = m.d_state;
  }
}

/// Fills what learns from the file, which must hold just that.
template <class T>
void read_adapter_values(const TensorFile& file, ParameterStore<T>& store) {
  for (const ParameterInfo& entry : store.entries()) {
    file.require_shape(entry.name, std::vector<std::size_t>{entry.rows, entry.cols});
    file.read(entry.name, store.values(entry));
  }
  if (file.size() != store.entries().size()) {
    throw FileError(file.path(), "",
                    "expected " + std::to_string(store.entries().size()) + " tensors, found " +
                        std::to_string(file.size()) + "; save the adapter again");
  }
}

}  // namespace detail

/// Reads an adapter directory into the model that `make(selection, options)` builds on `base`, for a
/// placement known by its text only. Throws FileError where the placement, the base, or any tensor
/// is another.
template <class BaseType, class Make>
auto load_adapter_with(const BaseType& base, const std::string& placement,
                       const std::filesystem::path& directory, const Make& make) {
  const TensorFile file = TensorFile::open(directory / detail::adapter_file);
  AdapterDescription a = detail::describe_adapter(file);
  detail::check_adapter(a, placement, base, file);
  try {
    auto model = make(a.selection, a.options);
    if constexpr (requires { model->parameters(); }) {
      detail::read_adapter_values(file, model->parameters());
    } else {
      detail::read_adapter_values(file, model.parameters());
    }
    return model;
  } catch (const ArgumentError& error) {
    throw FileError(a.path, "selection and options", error.what());
  }
}

/// The model of an adapter directory, on the base that it was trained on.
template <class Model>
Model load_adapter(std::shared_ptr<const typename Model::base_type> base,
                   const std::filesystem::path& directory) {
  using P = typename Model::placement_type;
  return load_adapter_with(*base, describe<P>(), directory,
                           [&](const Selection& selection, const AdapterOptions& options) {
                             return Model(base, P::selects ? selection : Selection{}, options);
                           });
}

}  // namespace sdlora
