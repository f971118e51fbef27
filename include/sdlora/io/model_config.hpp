#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../layers/mamba/config.hpp"
#include "../tensor/extents.hpp"
#include "json.hpp"
#include "tensor_info.hpp"
#include "tokenizer.hpp"

namespace sdlora {

/// Whose names a checkpoint uses. The tensors differ in one: `backbone.embedding.weight` (original)
/// or `backbone.embeddings.weight` (Hugging Face).
enum class KeyStyle : std::uint8_t {
  Original,     ///< state-spaces/mamba: d_model, n_layer, ssm_cfg
  HuggingFace,  ///< transformers: hidden_size, num_hidden_layers, state_size
};

/// The token ids that a config.json names, as it writes them: "0", "[0, 2]" or "null"; empty where it says
/// nothing, so that readers take their defaults.
struct TokenIds {
  std::string bos = {};
  std::string eos = {};
  std::string pad = {};
};

/// What a checkpoint's config.json says about a Mamba model.
struct CheckpointConfig {
  std::size_t d_model = 0;
  std::size_t n_layer = 0;
  std::size_t vocab_size = 0;           // rows of the embedding, padding included
  std::size_t unpadded_vocab_size = 0;  // those of them that are tokens; 0: not said, perhaps all
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
  std::optional<std::int32_t> end_of_text = {};  // eos_token_id, the first where it is a list
  std::vector<std::int32_t> stop_tokens = {};    // all that end a text that is generated
  TokenIds token_ids = {};                       // as the file says them
  std::optional<Dtype> dtype = {};               // to be written; of a file's weights, these say it
  KeyStyle key_style = KeyStyle::HuggingFace;
  std::string path = {};  // of the file that it was read from
  // Whether the file says these sizes under the names of its own style. The weights decide the others.
  bool says_d_inner = false, says_dt_rank = false, says_d_state = false, says_d_conv = false;

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

/// The ids under eos_token_id: one, a list, or none (null, negative ones).
inline std::vector<std::int32_t> read_stop_tokens(const JsonObject& object, std::size_t vocab_size) {
  constexpr const char* key = "eos_token_id";
  std::vector<std::int32_t> ids;
  const nlohmann::json* const value = object.find(key);
  if (value == nullptr) return ids;
  if (value->is_array()) {
    ids = object.required<std::vector<std::int32_t>>(key);
  } else {
    ids.push_back(object.required<std::int32_t>(key));
  }
  std::erase_if(ids, [](std::int32_t id) { return id < 0; });
  for (const std::int32_t id : ids) {
    if (static_cast<std::size_t>(id) < vocab_size) continue;
    object.fail(key, "expected ids below vocab_size = " + std::to_string(vocab_size) + ", found " +
                         std::to_string(id) + "; correct it");
  }
  return ids;
}

/// Reads a config.json of either style. Where both styles name a value, that of the file's own style is
/// taken, as its library does: files in use hold stale others.
class ConfigReader {
  using Field = ConfigField;

 public:
  ConfigReader(const nlohmann::json& document, const std::string& path)
      : top_(document, path), hugging_face_(top_.contains("hidden_size")) {
    if (const auto ssm = top_.optional_object("ssm_cfg")) ssm_.emplace(*ssm);
  }

  CheckpointConfig read() const {
    CheckpointConfig config;
    config.path = top_.file();
    const bool falcon = refuse_other_models();
    if (!hugging_face_ && !top_.contains("d_model")) {
      throw FileError(
          top_.file(), "",
          "expected hidden_size (Hugging Face) or d_model (state-spaces), found neither; give the "
          "config.json of a Mamba model");
    }
    config.key_style = hugging_face_ ? KeyStyle::HuggingFace : KeyStyle::Original;
    read_sizes(config);
    config.norm_epsilon =
        read(own({top_, "layer_norm_epsilon"}, {top_, "norm_epsilon"}), config.norm_epsilon);
    require_small(config.norm_epsilon,
                  top_.contains("layer_norm_epsilon") ? "layer_norm_epsilon" : "norm_epsilon");
    if (falcon) {
      config.mixer_norm_epsilon = top_.optional<double>("mixer_rms_eps").value_or(1e-6);
      require_small(config.mixer_norm_epsilon, "mixer_rms_eps");
    } else if (top_.contains("mixer_rms_eps")) {
      top_.fail("mixer_rms_eps",
                "expected no such field beside the model_type of Mamba, for its dt, B and C have no norms; "
                "correct model_type to \"falcon_mamba\", or remove the field");
    }
    config.hidden_act = top_.optional<std::string>("hidden_act").value_or(config.hidden_act);
    if (config.hidden_act == "swish") config.hidden_act = "silu";  // two names of one function
    config.use_bias = read(own({top_, "use_bias"}, {ssm_, "bias"}), config.use_bias);
    config.use_conv_bias = read(own({top_, "use_conv_bias"}, {ssm_, "conv_bias"}), config.use_conv_bias);
    config.rms_norm = read(Field{top_, "rms_norm"}, config.rms_norm);
    config.tie_embeddings =
        read(own({top_, "tie_word_embeddings"}, {top_, "tie_embeddings"}), config.tie_embeddings);
    config.tokenizer = top_.optional<std::string>("tokenizer");
    config.stop_tokens = read_stop_tokens(top_, config.vocab_size);
    if (!config.stop_tokens.empty()) config.end_of_text = config.stop_tokens.front();
    config.token_ids = {as_written("bos_token_id"), as_written("eos_token_id"), as_written("pad_token_id")};
    return config;
  }

 private:
  /// The field under the name of the file's style; where that is absent, under the other's.
  Field own(Field hugging_face, Field original) const {
    const Field& first = hugging_face_ ? hugging_face : original;
    return first.present() ? first : hugging_face_ ? original : hugging_face;
  }

  template <class T>
  static T read(Field field, T otherwise) {
    return field.present() ? field.object->optional<T>(field.key).value_or(otherwise) : otherwise;
  }

  static std::size_t size(Field field, std::size_t otherwise) {
    return field.present() ? read_size(field) : otherwise;
  }

  static std::size_t read_size(Field field) {
    const auto value = field.object->required<std::uint64_t>(field.key);
    if (value < 1 || value > (std::uint64_t{1} << 24)) {
      field.object->fail(field.key, "expected an integer from 1 to 16777216, found " + std::to_string(value) +
                                        "; correct it");
    }
    return value;
  }

  std::size_t must(Field field, std::string_view key) const {
    if (!field.present()) top_.fail(key, "expected an integer, but the field is missing; add it");
    return read_size(field);
  }

  void read_sizes(CheckpointConfig& config) const {
    config.d_model = must({top_, hugging_face_ ? "hidden_size" : "d_model"}, "hidden_size");
    config.n_layer = must(own({top_, "num_hidden_layers"}, {top_, "n_layer"}),
                          hugging_face_ ? "num_hidden_layers" : "n_layer");
    config.vocab_size = must({top_, "vocab_size"}, "vocab_size");
    if (!hugging_face_) {
      config.unpadded_vocab_size = config.vocab_size;
      config.vocab_size = detail::round_up(config.vocab_size, size({top_, "pad_vocab_size_multiple"}, 8));
    } else if (top_.contains("unpadded_vocab_size")) {
      config.unpadded_vocab_size = std::min(config.vocab_size, read_size({top_, "unpadded_vocab_size"}));
    }
    if (config.vocab_size > (std::size_t{1} << 24)) {
      top_.fail("vocab_size", "expected at most 16777216 tokens with padding; correct it");
    }
    const auto said = [&](Field hugging_face, Field original) {
      return (hugging_face_ ? hugging_face : original).present();
    };
    const Field d_state{top_, "state_size"}, d_conv{top_, "conv_kernel"}, inner{top_, "intermediate_size"},
        rank{top_, "time_step_rank"}, original_expand{ssm_, "expand"}, original_rank{ssm_, "dt_rank"};
    config.d_state = size(own(d_state, {ssm_, "d_state"}), config.d_state);
    config.says_d_state = said(d_state, {ssm_, "d_state"});
    config.d_conv = size(own(d_conv, {ssm_, "d_conv"}), config.d_conv);
    config.says_d_conv = said(d_conv, {ssm_, "d_conv"});
    // intermediate_size decides over expand, as in transformers: Falcon-Mamba's files hold an expand that is
    // not the model's.
    config.expand = size(own({top_, "expand"}, original_expand), config.expand);
    config.says_d_inner = said(inner, original_expand) || inner.present();
    if (inner.present() && read_size(inner) != config.expand * config.d_model) {
      config.intermediate_size = read_size(inner);
    }
    const auto d_inner = hugging_face_ ? std::nullopt : top_.optional<std::uint64_t>("d_inner");
    if (d_inner && *d_inner != config.d_inner()) {
      top_.fail("d_inner", "expected expand * d_model = " + std::to_string(config.expand) + " * " +
                               std::to_string(config.d_model) + " = " + std::to_string(config.d_inner()) +
                               ", found " + std::to_string(*d_inner) + "; correct one of the three");
    }
    const Field dt_rank = own(rank, original_rank);
    config.dt_rank = automatic_dt_rank(config.d_model);
    if (dt_rank.present() && !is_automatic(dt_rank)) {
      config.dt_rank = read_size(dt_rank);
      config.says_dt_rank = said(rank, original_rank);
    }
  }

  static bool is_automatic(Field field) {
    if (!field.object->find(field.key)->is_string()) return false;
    const auto text = field.object->required<std::string>(field.key);
    if (text == "auto") return true;
    field.object->fail(field.key,
                       "expected an integer or \"auto\", found " + in_quotes(text) + "; correct it");
  }

  void require_small(double epsilon, std::string_view key) const {
    if (epsilon > 0 && epsilon < 1) return;
    top_.fail(key, "expected a small positive number, found " + short_number(epsilon) + "; correct it");
  }

  /// The value of a field that may be null, as JSON; empty where it is absent.
  std::string as_written(const char* key) const {
    const auto& fields = top_.value().get_ref<const nlohmann::json::object_t&>();
    const auto found = fields.find(key);
    return found == fields.end() ? std::string() : found->second.dump();
  }

  static std::string other_model(std::string_view type) {
    const bool second = type == "mamba2" || type == "Mamba2";
    return std::string(second ? "; blocks of Mamba-2 are others and are not read here" : "") +
           "; give a checkpoint of Mamba (as state-spaces/mamba-130m-hf) or Falcon-Mamba";
  }

  /// Other architectures have some of the same fields. Returns whether this is Falcon-Mamba.
  bool refuse_other_models() const {
    const std::string type = top_.optional<std::string>("model_type").value_or("mamba");
    const bool falcon = type == "falcon_mamba";
    if (type != "mamba" && !falcon) {
      top_.fail("model_type",
                "expected \"mamba\" or \"falcon_mamba\", found " + in_quotes(type) + other_model(type));
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
      ssm_->fail("layer", "expected \"Mamba1\", found " + in_quotes(*layer) + other_model(*layer));
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

  JsonObject top_;
  std::optional<JsonObject> ssm_;
  bool hugging_face_;
};

}  // namespace detail

/// Reads the fields of a parsed config.json of either style, any sizes. Beside hidden_size (Hugging Face) the
/// names of the other style count only where their own are absent. FileError where a field is missing or of
/// another type, and for models that are not Mamba.
inline CheckpointConfig parse_checkpoint_config(const nlohmann::json& document, const std::string& path) {
  return detail::ConfigReader(document, path).read();
}

/// Reads config.json; `path` is the file or the directory that holds it. Tokens that end a text are those of
/// the generation_config.json beside it, where that names any, as for `transformers`.
inline CheckpointConfig read_checkpoint_config(const std::filesystem::path& path) {
  // As Python writes JSON: Mamba-2's files hold Infinity.
  constexpr JsonLimits limits{.max_values = 100'000, .python_numbers = true};
  std::error_code error;
  const auto file = std::filesystem::is_directory(path, error) ? path / "config.json" : path;
  CheckpointConfig config = parse_checkpoint_config(read_json(file, limits), file.string());
  const auto generation = file.parent_path() / "generation_config.json";
  if (!std::filesystem::exists(generation, error)) return config;
  const nlohmann::json document = read_json(generation, limits);
  auto stop_tokens = detail::read_stop_tokens(JsonObject(document, generation.string()), config.vocab_size);
  if (stop_tokens.empty()) return config;
  config.stop_tokens = std::move(stop_tokens);
  if (!config.end_of_text) config.end_of_text = config.stop_tokens.front();
  return config;
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
  // What `transformers` loads the weights as: all of its versions know this name.
  if (config.dtype == Dtype::F32) set("torch_dtype", "\"float32\"");
  if (config.dtype == Dtype::F16) set("torch_dtype", "\"float16\"");
  if (config.dtype == Dtype::BF16) set("torch_dtype", "\"bfloat16\"");
  if (config.tokenizer) set("tokenizer", json_text(*config.tokenizer));
  if (config.unpadded_vocab_size != 0 && config.unpadded_vocab_size != config.vocab_size) {
    set("unpadded_vocab_size", json_text(config.unpadded_vocab_size));
  }
  const TokenIds& ids = config.token_ids;
  if (!ids.bos.empty()) set("bos_token_id", ids.bos);
  if (!ids.eos.empty()) set("eos_token_id", ids.eos);
  if (!ids.pad.empty()) set("pad_token_id", ids.pad);
  return text + "\n}\n";
}

/// Refuses text on a checkpoint that does not read the tokenizer's ids.
template <Tokenizer T>
void require_compatible(const T& tokenizer, const CheckpointConfig& config) {
  require_compatible(tokenizer, config.vocab_size, config.tokenizer, config.path);
}

}  // namespace sdlora
