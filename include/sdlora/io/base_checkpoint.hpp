#pragma once

#include "../model/base.hpp"
#include "atomic_file.hpp"
#include "json.hpp"
#include "model_config.hpp"
#include "safetensors.hpp"
#include "safetensors_writer.hpp"
#include "tensor_source.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace sdlora {

namespace detail {

inline MambaDimensions dimensions_of(const CheckpointConfig& c) {
  return {c.d_model, c.n_layer,      c.vocab_size,         c.dt_rank,        c.d_inner(), c.d_state,
          c.d_conv,  c.norm_epsilon, c.mixer_norm_epsilon, c.tie_embeddings, c.use_bias};
}

/// A tensor's name in a checkpoint of either style.
inline std::string stored_key(const TensorSource& source, const TensorFacts<MambaDimensions>& facts) {
  const std::string other(facts.other_key);
  return !other.empty() && source.contains(other) ? other : std::string(facts.key);
}

inline constexpr const TensorFacts<MambaDimensions>& embedding_facts = model_facts<MambaDimensions>[0];
inline constexpr const TensorFacts<MambaDimensions>& head_facts = model_facts<MambaDimensions>[2];

/// Whether a head is stored whose values are not the embedding's.
inline bool has_other_head(const TensorSource& source, const std::string& embedding) {
  const std::string head(head_facts.key);
  if (!source.contains(head)) return false;
  source.require_shape(head, source.info(embedding).shape);
  const std::size_t rows = source.info(embedding).shape[0];
  const std::size_t cols = source.info(embedding).shape[1];
  std::vector<float> a(cols);
  std::vector<float> b(cols);
  for (std::size_t i = 0; i < rows; ++i) {
    source.read_part(embedding, i * cols, std::span<float>(a));
    source.read_part(head, i * cols, std::span<float>(b));
    if (a != b) return true;
  }
  return false;
}

}  // namespace detail

/// The config.json of a checkpoint directory whose model `load_base` reads with the kernel sizes of `built`.
/// Throws FileError where it is missing, damaged or of a model that is not supported, or `directory` is a
/// file.
inline CheckpointConfig read_base_config(const std::filesystem::path& directory,
                                         const MambaConfig& built = presets::AnyMamba::config) {
  std::error_code none;
  if (std::filesystem::is_regular_file(directory, none)) {
    throw FileError(directory.string(), "",
                    "expected a directory with config.json and safetensors, found a file; give the "
                    "directory that holds it");
  }
  CheckpointConfig config = read_checkpoint_config(directory);
  require_supported(config, built);
  return config;
}

/// Reads a base checkpoint: a directory with config.json and safetensors, of either key style. The head is
/// the stored one where config.json says that it is not tied, or where it is not the embedding's values.
/// Throws FileError for a missing, misshapen, non-finite or unknown tensor and for a model that is
/// not supported; ArgumentError where the sizes contradict the configuration's type.
template <Config C, class T = float, class D = Cpu>
std::shared_ptr<const Base<C, T, D>> load_base(const std::filesystem::path& directory) {
  if constexpr (!is_host<D>) {
    return std::make_shared<Base<C, T, D>>(*load_base<C, T>(directory));
  } else {
    const CheckpointConfig config = read_base_config(directory, C::config);
    const TensorSource source = TensorSource::open(directory);
    const std::string embedding = detail::stored_key(source, detail::embedding_facts);
    MambaDimensions dimensions = detail::dimensions_of(config);
    // Nothing of a size is allocated before the file was found to hold values for it.
    for_each_tensor<T, D>(
        dimensions,
        [&](const auto& line) {
          source.require_shape(detail::stored_key(source, line.facts), line.facts.stored_shape(dimensions));
        },
        [&](const auto& line, std::size_t l) {
          source.require_shape(layer_key(l, line.facts.key), line.facts.stored_shape(dimensions));
        });
    if (dimensions.tied_head) dimensions.tied_head = !detail::has_other_head(source, embedding);
    const auto base = std::make_shared<Base<C, T>>(dimensions);
    std::set<std::string> known{std::string(detail::head_facts.key), embedding};
    base->visit([&](const std::string& name, MatrixView<T> values, const std::vector<std::size_t>&) {
      const std::string& stored = name == detail::embedding_facts.key ? embedding : name;
      source.read(stored, std::span<T>(values.data, values.rows * values.cols));
      known.insert(stored);
    });
    for (const std::string& name : source.names()) {
      if (!known.contains(name)) {
        throw FileError(
            source.path(), "tensor " + detail::in_quotes(name),
            "expected only the tensors of a Mamba model of " + std::to_string(config.n_layer) +
                " layers, found this one besides; check that config.json belongs to these weights");
      }
    }
    base->finish();
    return base;
  }
}

/// How `save_base` writes.
struct SaveBaseOptions {
  Dtype dtype = Dtype::F32;                   ///< F32, F16 or BF16
  std::optional<std::string> tokenizer = {};  ///< "byte" for a byte-level model
  std::optional<std::int32_t> end_of_text = {};
};

/// Writes config.json and model.safetensors into `directory`, which is made where missing, in Hugging
/// Face's style: `load_base` and `transformers` read it. A checkpoint that stood there before is
/// replaced when both are on the disk. Throws FileError, and then leaves that one whole, unless it is the
/// very last step that fails, the renaming of config.json.
template <Config C, class T, class D>
void save_base(const Base<C, T, D>& base, const std::filesystem::path& directory,
               const SaveBaseOptions& options = {}) {
  if constexpr (!is_host<D>) {
    save_base(base.on_host(), directory, options);
  } else {
    const MambaDimensions& m = base.dimensions();
    SafetensorsWriter writer;
    writer.set_metadata("format", "pt");
    base.visit(
        [&](const std::string& name, MatrixView<const T> values, const std::vector<std::size_t>& shape) {
          const std::span<const T> span(values.data, values.rows * values.cols);
          if (const std::size_t i = detail::find_not_finite(span); i != span.size()) {
            throw Error("save_base: " + name + " is not finite at element " + std::to_string(i) +
                        "; nothing was written to " + directory.string());
          }
          writer.add(name, options.dtype, shape, span);
        });
    CheckpointConfig config;
    config.d_model = m.d_model;
    config.n_layer = m.n_layer;
    config.vocab_size = m.vocab_size;
    config.dt_rank = m.dt_rank;
    config.d_state = m.d_state;
    config.d_conv = m.d_conv;
    // Where d_inner is no multiple, intermediate_size says it: readers take that.
    config.expand = std::max<std::size_t>(1, m.d_inner / m.d_model);
    config.intermediate_size = m.d_inner;
    config.norm_epsilon = m.norm_epsilon;
    config.mixer_norm_epsilon = m.mixer_norm_epsilon;
    config.tie_embeddings = m.tied_head;
    config.use_bias = m.use_bias;
    config.tokenizer = options.tokenizer;
    config.end_of_text = options.end_of_text;
    const std::filesystem::path config_path = directory / "config.json";
    make_directories(directory);
    AtomicFile weights(directory / "model.safetensors");
    AtomicFile description(config_path);
    const std::string text = checkpoint_config_text(config);
    writer.write(weights);
    description.write(text);
    weights.flush();
    description.flush();
    // Never new weights beside the config.json of other ones, not even where this process is killed here.
    const std::filesystem::path old = detail::temporary_name(config_path);
    std::error_code none;
    const bool other = std::filesystem::exists(config_path, none) &&
                       read_text_file(config_path, std::size_t{1} << 30) != text;
    if (other && ::rename(config_path.c_str(), old.c_str()) != 0) {
      detail::throw_system(config_path.string(), "renaming", errno,
                           "make sure that the folder can be written");
    }
    try {
      weights.commit();
    } catch (const FileError&) {
      if (other) std::filesystem::rename(old, config_path, none);
      throw;
    }
    description.commit();
    if (other) std::filesystem::remove(old, none);
  }
}

}  // namespace sdlora
