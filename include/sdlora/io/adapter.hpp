#pragma once

#include "../adapters/describe.hpp"
#include "../model/fingerprint.hpp"
#include "../model/language_model.hpp"
#include "../model/mamba_model.hpp"
#include "../tensor/host_copy.hpp"
#include "atomic_file.hpp"
#include "detail/open_adapter.hpp"
#include "json.hpp"
#include "safetensors.hpp"
#include "safetensors_writer.hpp"
#include "selection_json.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

/// Whether an adapter must lie on the very weights that it was trained on. Without, it may be loaded on
/// others of the same sizes: right for rounded copies, as a bfloat16 copy of a float32 base, where results
/// differ by the rounding; on any other base the adapter loads and what it computes means nothing.
enum class BaseFingerprint { Required, Ignored };

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
/// The metadata that holds the description, as JSON.
inline constexpr const char* adapter_key = "sdlora_adapter";
inline constexpr std::size_t adapter_format = 2;

/// The options that every adapter file names, with the defaults that stand for those that a placement has
/// not.
struct UsualOption {
  const char* name;
  double usual;
  bool whole;
};
inline constexpr UsualOption usual_options[] = {{"rank", 8.0, true},     {"alpha", 0.0, false},
                                                {"dropout", 0.0, false}, {"channels", 0.0, true},
                                                {"states", 4.0, true},   {"prompt_length", 16.0, true}};
/// Whether such a field alone brings back that an option was set to this number.
inline bool has_field_for(std::string_view name, double number) {
  return std::any_of(std::begin(usual_options), std::end(usual_options), [&](const UsualOption& option) {
    return option.name == name && option.usual != number;
  });
}

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
  set("norm_epsilon", short_number(m.norm_epsilon));
  for (const UsualOption& option : usual_options) {
    set(option.name, short_number(a.options.number(option.name, option.usual)));
  }
  std::string others;
  for (const AdapterOptions::Value& value : a.options.values()) {
    // What is set to the usual number stays set: it need not be the default of every policy that has it.
    if (value.site.empty() && has_field_for(value.name, value.number)) continue;
    others += (others.empty() ? "" : ", ") + std::string("{\"site\": ") + json_string(value.site) +
              ", \"name\": " + json_string(value.name) + ", \"value\": " + short_number(value.number) + "}";
  }
  if (!others.empty()) set("options", "[" + others + "]");
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
  a.dimensions.norm_epsilon = json.required<double>("norm_epsilon");
  for (const UsualOption& option : usual_options) {
    double number = 0.0;
    if (option.whole) {
      const auto size = json.required<std::size_t>(option.name);
      if (constexpr std::size_t most = 1 << 24; size > most) {
        json.fail(option.name, "expected at most " + std::to_string(most) + ", found " +
                                   std::to_string(size) + "; the file is damaged: save the adapter again");
      }
      number = static_cast<double>(size);
    } else {
      number = json.required<double>(option.name);
    }
    if (number != option.usual) a.options.set(option.name, number);
  }
  constexpr std::size_t most_options = 1024;  // sites times options of a policy
  if (const nlohmann::json* options = json.find("options"); options != nullptr) {
    if (!options->is_array() || options->size() > most_options) {
      json.fail("options", "expected a list of at most " + std::to_string(most_options) +
                               " objects; save the adapter again");
    }
    for (std::size_t i = 0; i < options->size(); ++i) {
      const JsonObject option((*options)[i], path, json.path_of("options") + "[" + std::to_string(i) + "]");
      a.options.set(option.required<std::string>("name"), option.required<double>("value"),
                    option.required<std::string>("site"));
    }
  }
  const nlohmann::json* list = json.find("layers");
  if (list == nullptr || !list->is_array() || list->size() > LayerRange::most_ranges) {
    json.fail("layers", "expected a list of at most " + std::to_string(LayerRange::most_ranges) +
                            " objects, one for each range of layers; save the adapter again");
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
                    "sdlora finetune wrote");
  }
  const nlohmann::json document =
      parse_json(text->second, {.file = file.path(), .part = adapter_key, .one_line = true},
                 {.max_bytes = max_safetensors_header, .max_depth = 8, .max_values = max_safetensors_header});
  return parse_adapter(document, file.path());
}

}  // namespace detail

/// Writes what a model has learned into `directory`, which is made where missing, as one file:
/// adapter.safetensors, the values as tensors, and in its metadata placement, options, selection and
/// the base's identity as JSON. It replaces an adapter that stands there, completely or not at all.
/// Throws FileError; Error where a value is not finite, and then leaves the file as it was.
template <class Model>
void save_adapter(const Model& model, const std::filesystem::path& directory) {
  static_assert(TrainableModel<Model>,
                "sdlora::save_adapter: takes a model that can be trained, as MambaModel and AnyModel; "
                "language_model.hpp says what it must have (TrainableModel)");
  static_assert(may_learn<Model>,
                "sdlora::save_adapter: this placement trains nothing, so there is nothing to save");
  using T = typename Model::value_type;
  const auto& store = model.parameters();
  AdapterDescription a;
  a.placement = model.placement();
  a.options = model.options();
  a.selection = model.selection();
  a.base = fingerprint(*model.base());
  a.dimensions = model.dimensions();
  const HostCopy all(store.value_row());
  SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata(detail::adapter_key, detail::adapter_text(a));
  for (const ParameterInfo& entry : store.entries()) {
    const std::span<const T> values = all.values().subspan(entry.offset, entry.size());
    if (const std::size_t i = detail::find_not_finite(values); i != values.size()) {
      throw Error("save_adapter: " + entry.name + " is not finite at element " + std::to_string(i) +
                  "; nothing was written to " + directory.string() +
                  ": go back to an earlier checkpoint and lower the learning rate");
    }
    writer.add(entry.name, sizeof(T) == 8 ? Dtype::F64 : Dtype::F32, {entry.rows, entry.cols}, values);
  }
  make_directories(directory);
  writer.save(directory / detail::adapter_file);
}

/// Reads what the file of an adapter directory says besides its values. Throws FileError.
inline AdapterDescription read_adapter_description(const std::filesystem::path& directory) {
  return detail::describe_adapter(detail::open_adapter(directory));
}

namespace detail {

/// Refuses an adapter of another base or placement, or with sizes that its values do not have: a
/// hostile description must not make a model large. Completes the selection.
template <class BaseType>
void check_adapter(AdapterDescription& a, const std::string& placement, const BaseType& base,
                   const TensorFile& file, BaseFingerprint same) {
  const MambaDimensions& m = base.dimensions();
  const auto refuse = [&](const std::string& field, const std::string& what) {
    throw FileError(a.path, std::string("field ") + adapter_key + "." + field, what);
  };
  if (a.placement != placement) {
    refuse("placement", "expected \"" + placement + "\", found " + in_quotes(a.placement) +
                            "; load it into a model of the placement that it was trained with");
  }
  const auto differs = [&](const char* field, const std::string& expected, const std::string& found) {
    refuse(field, "expected " + expected + " as in the base, found " + found +
                      "; give the base that the adapter was trained on");
  };
  const auto compare = [&](const char* field, std::size_t expected, std::size_t found) {
    if (expected != found) differs(field, std::to_string(expected), std::to_string(found));
  };
  compare("d_model", m.d_model, a.dimensions.d_model);
  compare("n_layer", m.n_layer, a.dimensions.n_layer);
  compare("vocab_size", m.vocab_size, a.dimensions.vocab_size);
  compare("dt_rank", m.dt_rank, a.dimensions.dt_rank);
  // As float32, as in the fingerprint.
  const double epsilon = a.dimensions.norm_epsilon;
  if (static_cast<float>(m.norm_epsilon) != static_cast<float>(epsilon)) {
    differs("norm_epsilon", short_number(m.norm_epsilon), short_number(epsilon));
  }
  if (const std::uint64_t found = same == BaseFingerprint::Required ? fingerprint(base) : a.base;
      found != a.base) {
    refuse("base_fingerprint",
           "the adapter was trained on the base " + fingerprint_text(a.base) + ", the one given is " +
               fingerprint_text(found) +
               ": its weights differ; give the base that the adapter was trained on, or, where "
               "this one is a rounded copy of it, --ignore-base-fingerprint");
  }
  // The factor leaves room for a message of the tensor that is not as large as it should be.
  a.options.most_values = total_parameters(m);
  for (const std::string& name : file.names()) a.options.most_values += 8 * file.info(name).elements();
  if (!a.selection.layers.empty()) {
    a.selection.d_inner = m.d_inner;
    a.selection.d_state = m.d_state;
  }
}

/// Fills what learns from the file, which must hold just that.
template <class T, class D>
void read_adapter_values(const TensorFile& file, ParameterStore<T, D>& store) {
  std::vector<T> values(store.size());
  for (const ParameterInfo& entry : store.entries()) {
    file.require_shape(entry.name, std::vector<std::size_t>{entry.rows, entry.cols});
    file.read(entry.name, std::span<T>(values).subspan(entry.offset, entry.size()));
  }
  for (const std::string& name : file.names()) {
    if (store.find(name) != nullptr) continue;
    throw FileError(file.path(), tensor_place(name),
                    "expected only the " + std::to_string(store.entries().size()) +
                        " tensors of the placement, found this one besides; save the adapter again");
  }
  store.set_values(values);
}

}  // namespace detail

/// Reads an adapter directory into the model that `make(selection, options)` builds on `base`, for a
/// placement known by its text only. Throws FileError where the placement, the base, or any tensor
/// is another; nothing is allocated before the sizes were compared with the values that there are.
template <class BaseType, class Make>
auto load_adapter_with(const BaseType& base, const std::string& placement,
                       const std::filesystem::path& directory, const Make& make,
                       BaseFingerprint same = BaseFingerprint::Required) {
  const TensorFile file = detail::open_adapter(directory);
  AdapterDescription a = detail::describe_adapter(file);
  detail::check_adapter(a, placement, base, file, same);
  try {
    auto model = make(a.selection, a.options);
    if constexpr (requires { model->parameters(); }) {
      detail::read_adapter_values(file, model->parameters());
    } else {
      detail::read_adapter_values(file, model.parameters());
    }
    return model;
  } catch (const ArgumentError& error) {
    throw FileError(a.path, std::string("field ") + detail::adapter_key, error.what());
  } catch (const ShapeError& error) {
    throw FileError(a.path, std::string("field ") + detail::adapter_key, error.what());
  }
}

/// The model of an adapter directory, on the base that it was trained on, unless its fingerprint is to be
/// ignored: see BaseFingerprint. Throws as `load_adapter_with`.
template <class Model>
Model load_adapter(std::shared_ptr<const typename Model::base_type> base,
                   const std::filesystem::path& directory, BaseFingerprint same = BaseFingerprint::Required) {
  using P = typename Model::placement_type;
  return load_adapter_with(
      *base, describe<P>(), directory,
      [&](const Selection& selection, const AdapterOptions& options) {
        return Model(base, selection, options);
      },
      same);
}

}  // namespace sdlora
