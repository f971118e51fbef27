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
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace sdlora {

namespace detail {

inline MambaDimensions dimensions_of(const CheckpointConfig& c) {
  return {c.d_model, c.n_layer,      c.vocab_size,         c.dt_rank,        c.d_inner(), c.d_state,
          c.d_conv,  c.norm_epsilon, c.mixer_norm_epsilon, c.tie_embeddings, c.use_bias};
}

/// The names under which a checkpoint stores the tensors of a model, which this library names as
/// `MambaForCausalLM` does: the embedding's may be the original style's, and the part before "layers.0." may
/// be another than "backbone.", as files of `MambaModel` have none.
class StoredNames {
 public:
  explicit StoredNames(const TensorSource& source) {
    constexpr std::string_view last = "norm_f.weight";
    for (const std::string& name : source.names()) {
      if (name != last && !name.ends_with("." + std::string(last))) continue;
      prefix_ = name.substr(0, name.size() - last.size());
      break;
    }
    const std::string outer =
        prefix_.ends_with(backbone) ? prefix_.substr(0, prefix_.size() - backbone.size()) : std::string();
    head_ = outer + "lm_head.weight";
    const std::string original = prefix_ + "embedding.weight";
    embedding_ = source.contains(original) ? original : prefix_ + "embeddings.weight";
  }

  const std::string& embedding() const { return embedding_; }
  const std::string& head() const { return head_; }
  std::string operator()(std::string_view name) const {
    if (name == model_facts<MambaDimensions>[0].key) return embedding_;
    if (name == model_facts<MambaDimensions>[2].key) return head_;
    return prefix_ + std::string(name.substr(backbone.size()));
  }
  /// Of layer `l`: "A_log" and the like.
  std::string mixer(std::size_t l, const char* name) const {
    return prefix_ + "layers." + std::to_string(l) + ".mixer." + name;
  }

 private:
  static constexpr std::string_view backbone = "backbone.";
  std::string prefix_{backbone};
  std::string embedding_, head_;
};

/// Sizes that config.json does not say under the names of its style are those of the weights.
inline void take_sizes(CheckpointConfig& config, const TensorSource& source, const StoredNames& stored) {
  const auto size = [&](const char* name, std::size_t axis, std::size_t rank) -> std::size_t {
    const std::string tensor = stored.mixer(0, name);
    if (!source.contains(tensor)) return 0;
    const auto& shape = source.info(tensor).shape;
    return shape.size() == rank ? shape[axis] : 0;
  };
  const std::size_t d_inner = size("dt_proj.weight", 0, 2), dt_rank = size("dt_proj.weight", 1, 2),
                    d_state = size("A_log", 1, 2), d_conv = size("conv1d.weight", 2, 3);
  if (!config.says_d_inner && d_inner != 0 && d_inner != config.d_inner()) config.intermediate_size = d_inner;
  if (!config.says_dt_rank && dt_rank != 0) config.dt_rank = dt_rank;
  if (!config.says_d_state && d_state != 0) config.d_state = d_state;
  if (!config.says_d_conv && d_conv != 0) config.d_conv = d_conv;
  // state-spaces pads the vocabulary, files made of its weights not always.
  if (config.key_style == KeyStyle::Original && source.contains(stored.embedding())) {
    const auto& shape = source.info(stored.embedding()).shape;
    if (!shape.empty() && shape[0] == config.unpadded_vocab_size) config.vocab_size = shape[0];
  }
}

/// Whether a head is stored whose values are not the embedding's.
inline bool has_other_head(const TensorSource& source, const StoredNames& stored) {
  const std::string &head = stored.head(), &embedding = stored.embedding();
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

/// FileError where `directory` cannot be a checkpoint's, with what it seems to be instead.
inline void require_checkpoint_folder(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  std::error_code none;
  const std::string name = directory.string();
  const auto refuse = [&](const std::string& what) { throw FileError(name, "", what); };
  const auto has = [&](const char* file) { return fs::exists(directory / file, none); };
  if (fs::is_regular_file(directory, none)) {
    refuse(
        "expected a directory with config.json and safetensors, found a file; give the directory that holds "
        "it");
  }
  if (!fs::exists(directory, none)) {
    // As "state-spaces/mamba-130m-hf".
    const auto slash = name.find('/');
    const bool hub = slash != std::string::npos && slash != 0 && slash + 1 < name.size() &&
                     name.find('/', slash + 1) == std::string::npos && name[0] != '.' && name[0] != '~';
    refuse("no such folder; " +
           (hub ? "where it names a model on the Hugging Face hub, download that: hf download " + name +
                      " --local-dir " + name.substr(slash + 1) + ", and give --model " +
                      name.substr(slash + 1)
                : std::string("give a checkpoint's, with config.json and safetensors")));
  }
  if (has("config.json")) return;
  if (has("adapter_config.json") || has("adapter.safetensors")) {
    refuse(
        "expected a checkpoint with config.json, found an adapter; give the folder of its base here, and "
        "this "
        "one as the adapter");
  }
  if (has("snapshots")) {
    refuse("expected a checkpoint with config.json, found a cache of the hub; give the folder in snapshots/");
  }
}

}  // namespace detail

/// The config.json of a checkpoint directory whose model `load_base` reads with the kernel sizes of `built`,
/// with the sizes that it does not say itself from the weights beside it.
/// Throws FileError where either is missing or damaged, the model is not supported, or `directory` is a
/// file.
inline CheckpointConfig read_base_config(const std::filesystem::path& directory,
                                         const MambaConfig& built = presets::AnyMamba::config) {
  detail::require_checkpoint_folder(directory);
  CheckpointConfig config = read_checkpoint_config(directory);
  const TensorSource source = TensorSource::open(directory);
  detail::take_sizes(config, source, detail::StoredNames(source));
  require_supported(config, built);
  return config;
}

/// How `load_base` reads.
struct LoadBaseOptions {
  /// How the matrices of products are stored: as the scalar, as bfloat16 or as int8 with a scale a row. From
  /// a checkpoint of bfloat16, bfloat16 has the checkpoint's values; else each value is rounded once.
  StoredType weights = StoredType::Scalar;
};

namespace detail {

/// Reads a tensor that is to be stored as bfloat16, a block of its values at a time.
inline void read_rounded(const TensorSource& source, const std::string& tensor, std::span<BFloat16> to) {
  constexpr std::size_t block = std::size_t{1} << 16;
  std::vector<float> values(std::min(block, to.size()));
  for (std::size_t first = 0; first < to.size(); first += block) {
    const std::size_t count = std::min(block, to.size() - first);
    source.read_part(tensor, first, std::span<float>(values).first(count));
    round_row(to.data() + first, values.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      if (std::isfinite(static_cast<float>(to[first + i]))) continue;
      throw FileError(source.file_of(tensor).path(),
                      tensor_place(tensor) + ", element " + std::to_string(first + i),
                      "expected a value that bfloat16 can hold, found " + std::to_string(values[i]) +
                          "; load this checkpoint with float weights");
    }
  }
}

/// Reads a tensor that is to be stored as int8, some of its rows at a time.
inline void read_scaled(const TensorSource& source, const std::string& tensor, MatrixView<std::int8_t> to,
                        MatrixView<float> scales) {
  const std::size_t block =
      std::max<std::size_t>(1, (std::size_t{1} << 16) / std::max<std::size_t>(1, to.cols));
  std::vector<float> values(std::min(block, to.rows) * to.cols);
  for (std::size_t first = 0; first < to.rows; first += block) {
    const std::size_t count = std::min(block, to.rows - first);
    source.read_part(tensor, first * to.cols, std::span<float>(values).first(count * to.cols));
    store_values(to.rows_from(first, count), std::span<float>(scales.data + first, count),
                 MatrixView<const float>(values.data(), count, to.cols));
  }
}

}  // namespace detail

/// Reads a base checkpoint: a directory with config.json and safetensors, of either key style, with or
/// without "backbone." before the tensors' names. The head is the stored one where config.json says that it
/// is not tied, or where it is not the embedding's values. Throws FileError for a missing, misshapen,
/// non-finite or unknown tensor and for a model that is not supported; ArgumentError where the sizes
/// contradict the configuration's type, or bfloat16 or int8 is asked for beside double.
template <Config C, class T = float, class D = Cpu>
std::shared_ptr<const Base<C, T, D>> load_base(const std::filesystem::path& directory,
                                               const LoadBaseOptions& options = {}) {
  if constexpr (!is_host<D>) {
    return std::make_shared<Base<C, T, D>>(*load_base<C, T>(directory, options));
  } else {
    const CheckpointConfig config = read_base_config(directory, C::config);
    const TensorSource source = TensorSource::open(directory);
    const detail::StoredNames stored(source);
    MambaDimensions dimensions = detail::dimensions_of(config);
    // Nothing of a size is allocated before the file was found to hold values for it.
    for_each_tensor<T, D>(
        dimensions,
        [&](const auto& line) {
          source.require_shape(stored(line.facts.key), line.facts.stored_shape(dimensions));
        },
        [&](const auto& line, std::size_t l) {
          source.require_shape(stored(layer_key(l, line.facts.key)), line.facts.stored_shape(dimensions));
        });
    if (dimensions.tied_head) dimensions.tied_head = !detail::has_other_head(source, stored);
    const auto base = std::make_shared<Base<C, T>>(dimensions, options.weights);
    std::set<std::string> known{stored.head(), stored.embedding()};
    base->visit(Overloaded{[&]<class Stored>(const std::string& name, MatrixView<Stored> values,
                                             const std::vector<std::size_t>&) {
                             const std::string tensor = stored(name);
                             const std::span<Stored> to(values.data, values.rows * values.cols);
                             if constexpr (std::is_same_v<Stored, T>) {
                               source.read(tensor, to);
                             } else {
                               detail::read_rounded(source, tensor, to);
                             }
                             known.insert(tensor);
                           },
                           [&](const std::string& name, MatrixView<std::int8_t> values,
                               MatrixView<float> scales, const std::vector<std::size_t>&) {
                             const std::string tensor = stored(name);
                             detail::read_scaled(source, tensor, values, scales);
                             known.insert(tensor);
                           }});
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
  TokenIds token_ids = {};                    ///< as CheckpointConfig has them
  std::size_t unpadded_vocab_size = 0;        ///< rows that are tokens; 0: not said, perhaps all
};

/// Writes config.json and model.safetensors into `directory`, which is made where missing, in Hugging
/// Face's style: `load_base` and `transformers` read it. A checkpoint that stood there before is
/// replaced when both are on the disk. Matrices that the base stores as bfloat16 are written as what they
/// are with Dtype::BF16, and widened with F32; those of int8 are widened, and rounded again where F32 is not
/// what is written. Throws FileError, and then leaves that one whole, unless it is
/// the very last step that fails, the renaming of config.json.
template <Config C, class T, class D>
void save_base(const Base<C, T, D>& base, const std::filesystem::path& directory,
               const SaveBaseOptions& options = {}) {
  if constexpr (!is_host<D>) {
    save_base(base.on_host(), directory, options);
  } else {
    const MambaDimensions& m = base.dimensions();
    SafetensorsWriter writer;
    writer.set_metadata("format", "pt");
    const auto require_finite = [&](const std::string& name, std::span<const T> values) {
      if (const std::size_t i = detail::find_not_finite(values); i != values.size()) {
        throw Error("save_base: " + name + " is not finite at element " + std::to_string(i) +
                    "; nothing was written to " + directory.string());
      }
    };
    std::vector<T> widened;  // of one tensor at a time
    base.visit(Overloaded{[&]<class Stored>(const std::string& name, MatrixView<const Stored> values,
                                            const std::vector<std::size_t>& shape) {
                            const std::span<const Stored> span(values.data, values.rows * values.cols);
                            if constexpr (std::is_same_v<Stored, T>) {
                              require_finite(name, span);
                              writer.add(name, options.dtype, shape, span);
                            } else {
                              const auto widen = [&widened, span] {
                                widened.resize(span.size());
                                std::transform(span.begin(), span.end(), widened.begin(),
                                               [](Stored value) { return static_cast<T>(value); });
                                return std::span<const T>(widened);
                              };
                              require_finite(name, widen());
                              writer.add(name, options.dtype, shape, SafetensorsWriter::Producer<T>(widen));
                            }
                          },
                          [&](const std::string& name, MatrixView<const std::int8_t> values,
                              MatrixView<const float> scales, const std::vector<std::size_t>& shape) {
                            const auto widen = [&widened, values, scales] {
                              widened.resize(values.rows * values.cols);
                              for (std::size_t i = 0; i < values.rows; ++i) {
                                for (std::size_t j = 0; j < values.cols; ++j) {
                                  widened[i * values.cols + j] =
                                      static_cast<T>(values(i, j)) * static_cast<T>(scales(0, i));
                                }
                              }
                              return std::span<const T>(widened);
                            };
                            require_finite(name, widen());
                            writer.add(name, options.dtype, shape, SafetensorsWriter::Producer<T>(widen));
                          }});
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
    config.token_ids = options.token_ids;
    config.unpadded_vocab_size = options.unpadded_vocab_size;
    config.dtype = options.dtype;
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
