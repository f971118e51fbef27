#pragma once

#include "../adapters/describe.hpp"
#include "../model/fingerprint.hpp"
#include "../model/mamba_model.hpp"
#include "atomic_file.hpp"
#include "json.hpp"
#include "safetensors_writer.hpp"
#include "selection_file.hpp"
#include "tensor_source.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// What an adapter directory says besides its values: enough to build the model that it belongs to.
struct AdapterDescription {
  std::string path;       ///< of adapter.json
  std::string placement;  ///< as `describe` writes it
  AdapterOptions options;
  Selection selection;
  std::uint64_t base = 0;  ///< fingerprint of the base
  MambaDimensions dimensions;
};

namespace detail {

inline constexpr const char* adapter_values_file = "adapter.safetensors";
inline constexpr const char* adapter_description_file = "adapter.json";
inline constexpr std::size_t adapter_format = 1;

inline std::string hexadecimal(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

inline std::string adapter_text(const AdapterDescription& a) {
  std::string text = "{\n  \"format\": " + std::to_string(adapter_format) + ",\n";
  const auto set = [&](const char* key, const std::string& value) {
    text += "  \"" + std::string(key) + "\": " + value + ",\n";
  };
  const MambaDimensions& m = a.dimensions;
  set("placement", json_string(a.placement));
  set("base_fingerprint", json_string(hexadecimal(a.base)));
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
  return text + "  \"selection\": " + selection_text(a.selection) + "\n}\n";
}

inline AdapterDescription parse_adapter(const nlohmann::json& document, const std::string& path) {
  const JsonObject json(document, path);
  if (const auto format = json.required<std::size_t>("format"); format != adapter_format) {
    json.fail("format", "expected " + std::to_string(adapter_format) + ", found " + std::to_string(format) +
                            "; the adapter was written by another version of the library");
  }
  AdapterDescription a;
  a.path = path;
  a.placement = json.required<std::string>("placement");
  const auto fingerprint = json.required<std::string>("base_fingerprint");
  if (fingerprint.size() != 16 || fingerprint.find_first_not_of("0123456789abcdef") != std::string::npos) {
    json.fail("base_fingerprint", "expected 16 hexadecimal digits, found " + json_string(fingerprint));
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
  const auto objects = [&](const char* key, const auto& each) {
    const nlohmann::json* list = json.find(key);
    if (list == nullptr || !list->is_array())
      json.fail(key, "expected a list of objects; write the file anew");
    for (std::size_t i = 0; i < list->size(); ++i) {
      each(JsonObject((*list)[i], path, std::string(key) + "[" + std::to_string(i) + "]"));
    }
  };
  objects("layers", [&](const JsonObject& range) {
    a.options.layers.push_back({range.required<std::string>("site"), range.required<std::size_t>("first"),
                                range.required<std::size_t>("last")});
  });
  a.selection = parse_selection(json, a.dimensions.n_layer);
  return a;
}

}  // namespace detail

/// Writes what a model has learned into `directory`, which is made where missing: adapter.json
/// (placement, options, selection, the base's identity) and adapter.safetensors (the values). Each
/// file appears complete or not at all. Throws FileError.
template <Config C, Placement P, class T>
void save_adapter(const MambaModel<C, P, T>& model, const std::filesystem::path& directory) {
  static_assert(P::learns,
                "sdlora::save_adapter: this placement trains nothing, so there is nothing to save");
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) {
    throw FileError(directory.string(), "",
                    "cannot be made a directory: " + failed.message() + "; choose another");
  }
  AdapterDescription a;
  a.placement = describe<P>();
  a.options = model.options();
  // The sizes as they are, not as the options left them open.
  const AdapterSizes sizes = adapter_sizes(a.options, model.dimensions());
  a.options.channels =
      model.selection().layers.empty() ? sizes.channels : model.selection().layers[0].channels.size();
  a.options.states =
      model.selection().layers.empty() ? sizes.states : model.selection().layers[0].states_per_channel();
  for (const ParameterInfo& entry : model.parameters().entries()) {
    if (entry.name.ends_with(".lora_A")) a.options.rank = entry.rows;
    if (entry.site == site::Prompt::name || entry.site == site::Prefix::name)
      a.options.prompt_length = entry.rows;
  }
  a.selection = model.selection();
  a.base = fingerprint(*model.base());
  a.dimensions = model.dimensions();

  SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata("sdlora_placement", a.placement);
  for (const ParameterInfo& entry : model.parameters().entries()) {
    writer.add(entry.name, sizeof(T) == 8 ? Dtype::F64 : Dtype::F32, {entry.rows, entry.cols},
               model.parameters().values(entry));
  }
  writer.save(directory / detail::adapter_values_file);
  write_file(directory / detail::adapter_description_file, detail::adapter_text(a));
}

/// Reads adapter.json of an adapter directory. Throws FileError.
inline AdapterDescription read_adapter_description(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / detail::adapter_description_file;
  return detail::parse_adapter(read_json(path), path.string());
}

/// The model of an adapter directory, on the base that it was trained on. Throws FileError where the
/// placement, the base, or any tensor is another.
template <class Model>
Model load_adapter(std::shared_ptr<const typename Model::base_type> base,
                   const std::filesystem::path& directory) {
  using T = typename Model::value_type;
  AdapterDescription a = read_adapter_description(directory);
  const MambaDimensions& m = base->dimensions();
  const auto refuse = [&](const char* field, const std::string& what) {
    throw FileError(a.path, field, what);
  };
  const std::string placement = describe<typename Model::placement_type>();
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
  if (const std::uint64_t found = fingerprint(*base); found != a.base) {
    refuse("base_fingerprint", "expected " + detail::hexadecimal(a.base) + ", but the base given has " +
                                   detail::hexadecimal(found) +
                                   ": its weights differ; give the base that the adapter was trained on");
  }
  const std::string values_path = (directory / detail::adapter_values_file).string();
  const TensorFile file = TensorFile::open(values_path);
  // A hostile description must not make the model large: the sizes are bounded by the values there are.
  std::size_t stored = 0;
  for (const std::string& name : file.names()) stored += file.info(name).elements();
  const AdapterSizes sizes = adapter_sizes(a.options, m);
  if (sizes.rank > stored || sizes.channels > m.d_inner || sizes.states > m.d_state ||
      sizes.prompt_length > (1U << 20)) {
    refuse("rank", "sizes larger than " + values_path +
                       " holds values for; the two files belong to different adapters");
  }
  if (!a.selection.layers.empty()) {
    a.selection.d_inner = m.d_inner;
    a.selection.d_state = m.d_state;
  }
  try {
    Model model = [&] {
      if constexpr (Model::placement_type::selects) {
        return Model(std::move(base), a.selection, a.options);
      } else {
        return Model(std::move(base), a.options);
      }
    }();
    for (const ParameterInfo& entry : model.parameters().entries()) {
      file.require_shape(entry.name, std::vector<std::size_t>{entry.rows, entry.cols});
      file.read(entry.name, model.parameters().values(entry));
    }
    if (file.size() != model.parameters().entries().size()) {
      throw FileError(values_path, "",
                      "expected " + std::to_string(model.parameters().entries().size()) + " tensors, found " +
                          std::to_string(file.size()) + "; the two files belong to different adapters");
    }
    static_assert(std::is_floating_point_v<T>);
    return model;
  } catch (const ArgumentError& error) {
    throw FileError(a.path, "selection and options", error.what());
  }
}

}  // namespace sdlora
