#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "../error.hpp"
#include "../layers/mamba/config.hpp"
#include "../tensor/extents.hpp"
#include "json.hpp"
#include "tokenizer.hpp"

namespace sdlora {

/// Whose names a checkpoint uses. The tensors differ in one: `backbone.embedding.weight` (original)
/// or `backbone.embeddings.weight` (Hugging Face).
enum class KeyStyle : std::uint8_t {
  Original,     ///< state-spaces/mamba: d_model, n_layer, ssm_cfg
  HuggingFace,  ///< transformers: hidden_size, num_hidden_layers, state_size
};

/// What a checkpoint's config.json says about a Mamba model.
struct CheckpointConfig {
  std::size_t d_model = 0;
  std::size_t n_layer = 0;
  std::size_t vocab_size = 0;  // rows of the embedding, padding included
  std::size_t dt_rank = 0;
  std::size_t d_state = 16;
  std::size_t d_conv = 4;
  std::size_t expand = 2;
  std::size_t intermediate_size = 0;  // d_inner; 0: expand * d_model
  double norm_epsilon = 1e-5;
  double mixer_norm_epsilon = 0.0;  // above 0: Falcon-Mamba, with norms of dt, B and C
  std::string hidden_act = "silu";
  bool use_bias = false;      // of in_proj and out_proj
  bool use_conv_bias = true;  // of conv1d
  bool rms_norm = true;
  bool tie_embeddings = true;
  std::optional<std::string> tokenizer = {};     // "byte", or absent
  std::optional<std::int32_t> end_of_text = {};  // eos_token_id
  KeyStyle key_style = KeyStyle::HuggingFace;
  std::string path = {};  // of the file that it was read from

  std::size_t d_inner() const { return intermediate_size != 0 ? intermediate_size : expand * d_model; }
};

/// "auto": a rank of one for each 16 dimensions, rounded up.
constexpr std::size_t automatic_dt_rank(std::size_t d_model) { return (d_model + 15) / 16; }

namespace detail {

inline std::string json_text(bool value) { return value ? "true" : "false"; }
inline std::string json_text(std::size_t value) { return std::to_string(value); }
inline std::string json_text(double value) { return short_number(value); }
inline std::string json_text(const std::string& value) { return json_string(value); }

/// A name in one of the two objects, which may be absent.
struct ConfigField {
  ConfigField() = default;
  ConfigField(const JsonObject& in, std::string_view name) : object(&in), key(name) {}
  ConfigField(const std::optional<JsonObject>& in, std::string_view name)
      : object(in ? &*in : nullptr), key(name) {}

  bool present() const { return object != nullptr && object->contains(key); }
  std::string path() const { return object->path_of(key); }

  const JsonObject* object = nullptr;
  std::string_view key;
};

/// Reads a config.json of either style. Where both name a value they must agree, but for the sizes: beside
/// hidden_size, transformers reads its own names alone, and files in use hold stale others.
class ConfigReader {
  using Field = ConfigField;

 public:
  ConfigReader(const nlohmann::json& document, const std::string& path) : top_(document, path) {
    if (const auto ssm = top_.optional_object("ssm_cfg")) ssm_.emplace(*ssm);
  }

  CheckpointConfig read() const {
    CheckpointConfig config;
    config.path = top_.file();
    const bool falcon = refuse_other_models();
    const bool hugging_face = top_.contains("hidden_size");
    if (!hugging_face && !top_.contains("d_model")) {
      throw FileError(
          top_.file(), "",
          "expected hidden_size (Hugging Face) or d_model (state-spaces), found neither; give the "
          "config.json of a Mamba model");
    }
    config.key_style = hugging_face ? KeyStyle::HuggingFace : KeyStyle::Original;
    config.d_model = must(size({top_, hugging_face ? "hidden_size" : "d_model"}), "hidden_size");
    const bool stale = hugging_face && top_.contains("num_hidden_layers");
    config.n_layer = must(size({top_, "num_hidden_layers"}, stale ? Field{} : Field{top_, "n_layer"}),
                          hugging_face ? "num_hidden_layers" : "n_layer");
    config.vocab_size = must(size({top_, "vocab_size"}), "vocab_size");
    if (!hugging_face) {
      const std::size_t multiple = size({top_, "pad_vocab_size_multiple"}).value_or(8);
      config.vocab_size = detail::round_up(config.vocab_size, multiple);
    }
    if (config.vocab_size > (std::size_t{1} << 24)) {
      top_.fail("vocab_size", "expected at most 16777216 tokens with padding; correct it");
    }
    config.d_state = size({top_, "state_size"}, {ssm_, "d_state"}).value_or(config.d_state);
    config.d_conv = size({top_, "conv_kernel"}, {ssm_, "d_conv"}).value_or(config.d_conv);
    config.expand = size({top_, "expand"}, {ssm_, "expand"}).value_or(config.expand);
    read_inner(config, hugging_face);
    config.dt_rank = agreed<std::size_t>({top_, "time_step_rank"}, {ssm_, "dt_rank"}, [&](Field field) {
                       return read_rank(field, config.d_model);
                     }).value_or(automatic_dt_rank(config.d_model));
    config.norm_epsilon =
        agreed<double>({top_, "layer_norm_epsilon"}, {top_, "norm_epsilon"}, [](Field field) {
          return field.object->template optional<double>(field.key);
        }).value_or(config.norm_epsilon);
    if (!(config.norm_epsilon > 0 && config.norm_epsilon < 1)) {
      top_.fail(top_.contains("layer_norm_epsilon") ? "layer_norm_epsilon" : "norm_epsilon",
                "expected a small positive number, found " + detail::short_number(config.norm_epsilon) +
                    "; correct it");
    }
    if (falcon) {
      config.mixer_norm_epsilon = top_.optional<double>("mixer_rms_eps").value_or(1e-6);
      if (!(config.mixer_norm_epsilon > 0 && config.mixer_norm_epsilon < 1)) {
        top_.fail("mixer_rms_eps", "expected a small positive number, found " +
                                       detail::short_number(config.mixer_norm_epsilon) + "; correct it");
      }
    } else if (top_.contains("mixer_rms_eps")) {
      top_.fail("mixer_rms_eps",
                "expected no such field beside the model_type of Mamba, for its dt, B and C have no norms; "
                "correct model_type to \"falcon_mamba\", or remove the field");
    }
    config.hidden_act = top_.optional<std::string>("hidden_act").value_or(config.hidden_act);
    if (config.hidden_act == "swish") config.hidden_act = "silu";  // two names of one function
    config.use_bias = flag({top_, "use_bias"}, {ssm_, "bias"}).value_or(config.use_bias);
    config.use_conv_bias = flag({top_, "use_conv_bias"}, {ssm_, "conv_bias"}).value_or(config.use_conv_bias);
    config.rms_norm = flag({top_, "rms_norm"}, {}).value_or(config.rms_norm);
    config.tie_embeddings =
        flag({top_, "tie_word_embeddings"}, {top_, "tie_embeddings"}).value_or(config.tie_embeddings);
    config.tokenizer = top_.optional<std::string>("tokenizer");
    read_end_of_text(config);
    return config;
  }

 private:
  /// The value under either name; both must agree.
  template <class T, class Read>
  std::optional<T> agreed(Field first, Field second, const Read& read) const {
    std::optional<T> result;
    if (first.present()) result = read(first);
    if (second.present()) {
      const std::optional<T> other = read(second);
      if (result && other && *result != *other) {
        throw FileError(top_.file(), "field " + first.path(),
                        "contradicts field " + second.path() + " (" + json_text(*result) + " and " +
                            json_text(*other) + "); correct one of them");
      }
      if (!result) result = other;
    }
    return result;
  }

  std::optional<std::size_t> size(Field first, Field second = {}) const {
    return agreed<std::size_t>(first, second, [](Field field) { return read_size(field); });
  }

  std::optional<bool> flag(Field first, Field second) const {
    return agreed<bool>(first, second, [](Field field) { return field.object->optional<bool>(field.key); });
  }

  static std::optional<std::size_t> read_size(Field field) {
    const auto value = field.object->optional<std::uint64_t>(field.key);
    if (value && (*value < 1 || *value > (std::uint64_t{1} << 24))) {
      field.object->fail(field.key, "expected an integer from 1 to 16777216, found " +
                                        std::to_string(*value) + "; correct it");
    }
    return value;
  }

  static std::optional<std::size_t> read_rank(Field field, std::size_t d_model) {
    if (field.object->find(field.key)->is_string()) {
      const auto text = field.object->required<std::string>(field.key);
      if (text == "auto") return automatic_dt_rank(d_model);
      field.object->fail(field.key,
                         "expected an integer or \"auto\", found " + in_quotes(text) + "; correct it");
    }
    return read_size(field);
  }

  std::size_t must(std::optional<std::size_t> value, std::string_view key) const {
    if (!value) top_.fail(key, "expected an integer, but the field is missing; add it");
    return *value;
  }

  /// intermediate_size decides over expand, as in transformers: Falcon-Mamba's files hold an expand that is
  /// not the model's.
  void read_inner(CheckpointConfig& config, bool hugging_face) const {
    const std::size_t expanded = config.expand * config.d_model;
    if (const auto inner = size({top_, "intermediate_size"}); inner && *inner != expanded) {
      config.intermediate_size = *inner;
    }
    const auto inner = hugging_face ? std::nullopt : top_.optional<std::uint64_t>("d_inner");
    if (inner && *inner != config.d_inner()) {
      top_.fail("d_inner", "expected expand * d_model = " + std::to_string(config.expand) + " * " +
                               std::to_string(config.d_model) + " = " + std::to_string(config.d_inner()) +
                               ", found " + std::to_string(*inner) + "; correct one of the three");
    }
  }

  /// Other architectures have some of the same fields. Returns whether this is Falcon-Mamba.
  bool refuse_other_models() const {
    const std::string type = top_.optional<std::string>("model_type").value_or("mamba");
    const bool falcon = type == "falcon_mamba";
    if (type != "mamba" && !falcon) {
      top_.fail("model_type", "expected \"mamba\" or \"falcon_mamba\", found " + in_quotes(type) +
                                  "; give a checkpoint of Mamba or Falcon-Mamba");
    }
    if (top_.contains("quantization_config")) {
      top_.fail("quantization_config", "quantised checkpoints are not read; give the unquantised one");
    }
    if (top_.optional<std::uint64_t>("d_intermediate").value_or(0) != 0) {
      top_.fail("d_intermediate",
                "blocks with a feed-forward part are not read; expected 0 or no such field");
    }
    if (const auto* layers = top_.find("attn_layer_idx"); layers != nullptr && !layers->empty()) {
      top_.fail("attn_layer_idx", "attention layers are not read; expected [] or no such field");
    }
    if (!ssm_) return falcon;
    if (const auto layer = ssm_->optional<std::string>("layer"); layer && *layer != "Mamba1") {
      ssm_->fail("layer", "expected \"Mamba1\", found " + in_quotes(*layer) + "; give a checkpoint of Mamba");
    }
    constexpr std::string_view known[] = {
        "layer", "d_state", "d_conv", "expand", "dt_rank", "bias", "conv_bias",
        // of the initialisation or the implementation: nothing to read
        "dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"};
    for (const auto& [key, unused] : ssm_->value().get_ref<const nlohmann::json::object_t&>()) {
      bool found = false;
      for (const std::string_view name : known) found = found || name == key;
      if (!found) ssm_->fail(key, "expected the options of a Mamba block, found an unknown one; remove it");
    }
    return falcon;
  }

  void read_end_of_text(CheckpointConfig& config) const {
    const auto* value = top_.find("eos_token_id");
    if (value == nullptr || value->is_array()) return;
    const auto id = top_.required<std::int32_t>("eos_token_id");
    if (id < 0) return;  // −1: none
    if (static_cast<std::size_t>(id) >= config.vocab_size) {
      top_.fail("eos_token_id", "expected an id below vocab_size = " + std::to_string(config.vocab_size) +
                                    ", found " + std::to_string(id) + "; correct it");
    }
    config.end_of_text = id;
  }

  JsonObject top_;
  std::optional<JsonObject> ssm_;
};

}  // namespace detail

/// Reads the fields of a parsed config.json of either style, any sizes. FileError where a field is
/// missing, is of another type, or contradicts another, and for models that are not Mamba.
inline CheckpointConfig parse_checkpoint_config(const nlohmann::json& document, const std::string& path) {
  return detail::ConfigReader(document, path).read();
}

/// Reads config.json; `path` is the file or the directory that holds it.
inline CheckpointConfig read_checkpoint_config(const std::filesystem::path& path) {
  std::error_code error;
  const auto file = std::filesystem::is_directory(path, error) ? path / "config.json" : path;
  return parse_checkpoint_config(read_json(file, {.max_values = 100'000}), file.string());
}

/// Refuses, with the field named, what models of type `built` (the programs' where none is given) do not
/// take: another d_state, d_conv or expand than theirs and norms of dt, B and C, unless the type leaves them
/// open; convolutions but those of 2 to 4 where it does; and what no model takes: activations but
/// silu, norms but RMSNorm, a convolution without biases. Throws FileError.
inline void require_supported(const CheckpointConfig& config,
                              const MambaConfig& built = presets::AnyMamba::config) {
  const bool original = config.key_style == KeyStyle::Original;
  constexpr const char* no_other = "models of other values are not supported: give another checkpoint";
  constexpr const char* other_type =
      "the program is built for the first: give another checkpoint, or build it for a type with a "
      "MambaConfig "
      "of the second";
  const auto check = [&](const auto& found, const auto& expected, const char* field,
                         const char* original_field, const char* remedy) {
    if (found == expected) return;
    throw FileError(
        config.path, std::string("field ") + (original ? original_field : field),
        "expected " + detail::json_text(expected) + ", found " + detail::json_text(found) + "; " + remedy);
  };
  if (built.d_state != dyn) {
    check(config.d_state, built.d_state, "state_size", "ssm_cfg.d_state", other_type);
  }
  if (built.d_conv != dyn) {
    check(config.d_conv, built.d_conv, "conv_kernel", "ssm_cfg.d_conv", other_type);
  } else if (config.d_conv < 2 || config.d_conv > 4) {
    throw FileError(
        config.path, std::string("field ") + (original ? "ssm_cfg.d_conv" : "conv_kernel"),
        "expected 2, 3 or 4, found " + detail::json_text(config.d_conv) +
            "; give another checkpoint, or build the program for a type with a MambaConfig of this "
            "d_conv");
  }
  if (built.expand != dyn && config.intermediate_size == 0) {
    check(config.expand, built.expand, "expand", "ssm_cfg.expand", other_type);
  } else if (built.expand != dyn) {
    check(config.d_inner(), built.expand * config.d_model, "intermediate_size", "intermediate_size",
          other_type);
  }
  if (built.mixer_norm_epsilon != open_mixer_norm) {
    const auto type = [](double epsilon) { return std::string(epsilon > 0.0 ? "falcon_mamba" : "mamba"); };
    check(type(config.mixer_norm_epsilon), type(built.mixer_norm_epsilon), "model_type", "model_type",
          other_type);
  }
  check(config.hidden_act, std::string("silu"), "hidden_act", "hidden_act", no_other);
  check(config.use_conv_bias, true, "use_conv_bias", "ssm_cfg.conv_bias", no_other);
  check(config.rms_norm, true, "rms_norm", "rms_norm", no_other);
}

/// The config.json of a `MambaForCausalLM` or `FalconMambaForCausalLM`, for `transformers` and
/// `read_checkpoint_config`. Tensors beside it must have Hugging Face's names, whatever `key_style` says.
inline std::string checkpoint_config_text(const CheckpointConfig& config) {
  using detail::json_text;
  const bool falcon = config.mixer_norm_epsilon > 0.0;
  std::string text = falcon ? "{\n  \"architectures\": [\"FalconMambaForCausalLM\"],\n"
                              "  \"model_type\": \"falcon_mamba\""
                            : "{\n  \"architectures\": [\"MambaForCausalLM\"],\n"
                              "  \"model_type\": \"mamba\"";
  const auto set = [&](const char* key, const std::string& value) {
    text += ",\n  \"" + std::string(key) + "\": " + value;
  };
  set("hidden_size", json_text(config.d_model));
  set("num_hidden_layers", json_text(config.n_layer));
  set("vocab_size", json_text(config.vocab_size));
  set("time_step_rank", json_text(config.dt_rank));
  set("state_size", json_text(config.d_state));
  set("conv_kernel", json_text(config.d_conv));
  set("expand", json_text(config.expand));
  set("intermediate_size", json_text(config.d_inner()));
  set("layer_norm_epsilon", json_text(config.norm_epsilon));
  if (falcon) set("mixer_rms_eps", json_text(config.mixer_norm_epsilon));
  set("hidden_act", json_text(config.hidden_act));
  set("use_bias", json_text(config.use_bias));
  set("use_conv_bias", json_text(config.use_conv_bias));
  set("rms_norm", json_text(config.rms_norm));
  set("residual_in_fp32", json_text(true));
  set("tie_word_embeddings", json_text(config.tie_embeddings));
  if (config.tokenizer) set("tokenizer", json_text(*config.tokenizer));
  if (config.end_of_text) {
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      set(key, std::to_string(*config.end_of_text));
    }
  }
  return text + "\n}\n";
}

/// Refuses text on a checkpoint that does not read the tokenizer's ids.
template <Tokenizer T>
void require_compatible(const T& tokenizer, const CheckpointConfig& config) {
  require_compatible(tokenizer, config.vocab_size, config.tokenizer, config.path);
}

}  // namespace sdlora
