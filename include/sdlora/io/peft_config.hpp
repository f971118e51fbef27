#pragma once

#include "json.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

/// A number for the modules whose name ends in `pattern`, as in rank_pattern of adapter_config.json.
struct PeftPattern {
  std::string pattern;
  double number = 0.0;
};

/// What adapter_config.json of a LoRA adapter says (peft 0.21's LoraConfig).
struct PeftConfig {
  std::string path;  ///< of the file
  std::size_t rank = 8;
  double alpha = 8.0;
  double dropout = 0.0;
  bool rank_stabilised = false;  ///< use_rslora: the scale is alpha / √rank
  bool dora = false;             ///< use_dora
  std::vector<PeftPattern> rank_pattern, alpha_pattern;
  std::vector<std::string> target_modules;     ///< empty where it is an expression
  std::vector<std::string> target_parameters;  ///< as "mixer.A_log"
  std::vector<std::string> modules_to_save;    ///< whose values are in the file as a whole
  std::string base_model;

  std::size_t rank_of(std::string_view module) const {
    return static_cast<std::size_t>(
        number_of(rank_pattern, "rank_pattern", module, static_cast<double>(rank)));
  }
  double alpha_of(std::string_view module) const {
    return number_of(alpha_pattern, "alpha_pattern", module, alpha);
  }
  /// What B·A of the module is multiplied by.
  double scale_of(std::string_view module) const {
    const auto r = static_cast<double>(rank_of(module));
    return alpha_of(module) / (rank_stabilised ? std::sqrt(r) : r);
  }

 private:
  double number_of(const std::vector<PeftPattern>& patterns, const char* field, std::string_view module,
                   double otherwise) const;
};

namespace detail {

inline constexpr const char* peft_config_file = "adapter_config.json";
inline constexpr const char* peft_tensor_file = "adapter_model.safetensors";
/// What always helps where an adapter of peft cannot be read.
inline constexpr const char* peft_way_out =
    "merge it with peft (merge_and_unload, then save_pretrained) and give the merged checkpoint as --model";
inline constexpr std::size_t most_peft_rank = std::size_t{1} << 20;

/// Whether `name` is one of a list's entries or ends in "." and it, as peft compares target names.
inline bool ends_in_name(std::string_view name, std::string_view end) {
  return name == end ||
         (name.size() > end.size() && name.ends_with(end) && name[name.size() - end.size() - 1] == '.');
}

/// A name, in which "." stands for any character and "\." for itself, perhaps behind "^": what is read of the
/// regular expressions that peft allows here.
inline bool is_peft_pattern(std::string_view pattern) {
  if (pattern.starts_with('^')) pattern.remove_prefix(1);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const bool word = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (word || c == '.') continue;
    if (c != '\\' || i + 1 == pattern.size() || pattern[++i] != '.') return false;
  }
  return !pattern.empty();
}

/// re.match("(.*\.)?(pattern)$", name), for such a pattern.
inline bool peft_pattern_matches(std::string_view pattern, std::string_view name) {
  const bool whole = pattern.starts_with('^');
  if (whole) pattern.remove_prefix(1);
  std::string chars;  // of the name, from the end; '.' is any
  std::vector<bool> any;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    any.push_back(pattern[i] == '.');
    if (pattern[i] == '\\') ++i;
    chars += pattern[i];
  }
  if (chars.size() > name.size() || (whole && chars.size() != name.size())) return false;
  const std::size_t first = name.size() - chars.size();
  if (first > 0 && name[first - 1] != '.') return false;
  for (std::size_t i = 0; i < chars.size(); ++i) {
    if (!any[i] && chars[i] != name[first + i]) return false;
  }
  return true;
}

/// Reads the fields of adapter_config.json.
class PeftConfigReader {
 public:
  PeftConfigReader(const nlohmann::json& document, const std::string& path) : json_(document, path) {}

  PeftConfig read() const {
    PeftConfig config;
    config.path = json_.file();
    const auto type = json_.required<std::string>("peft_type");
    if (type != "LORA") {
      json_.fail("peft_type", "expected \"LORA\", the kind that is read here, found " + in_quotes(type) +
                                  "; " + peft_way_out);
    }
    refuse_what_changes_more();
    config.rank = count(json_.required<double>("r"), "r");
    config.alpha = number(json_.optional<double>("lora_alpha").value_or(8.0), "lora_alpha");
    config.dropout = json_.optional<double>("lora_dropout").value_or(0.0);
    if (!(config.dropout >= 0.0 && config.dropout < 1.0)) {
      json_.fail("lora_dropout", "expected a dropout of at least 0 and below 1, found " +
                                     short_number(config.dropout) + "; correct it");
    }
    config.rank_stabilised = json_.optional<bool>("use_rslora").value_or(false);
    config.dora = json_.optional<bool>("use_dora").value_or(false);
    config.rank_pattern = patterns("rank_pattern", true);
    config.alpha_pattern = patterns("alpha_pattern", false);
    if (const auto* targets = json_.find("target_modules"); targets != nullptr && !targets->is_string()) {
      config.target_modules = names("target_modules");
    }
    config.target_parameters = names("target_parameters");
    config.modules_to_save = names("modules_to_save");
    config.base_model = json_.optional<std::string>("base_model_name_or_path").value_or("");
    return config;
  }

 private:
  /// Fields that change nothing, or are read above.
  static constexpr std::string_view known[] = {
      "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "rank_pattern",
      "alpha_pattern", "target_modules", "target_parameters", "modules_to_save", "base_model_name_or_path",
      // of peft's own loading, of the start of the training, or of modules that Mamba lacks
      "auto_mapping", "revision", "inference_mode", "peft_version", "task_type", "exclude_modules",
      "layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size", "fan_in_fan_out",
      "eva_config", "corda_config", "loftq_config", "lora_ga_config", "runtime_config"};

  void refuse_what_changes_more() const {
    for (const auto& [key, value] : json_.value().get_ref<const nlohmann::json::object_t&>()) {
      if (std::find(std::begin(known), std::end(known), key) != std::end(known)) continue;
      const bool off = value.is_null() || (value.is_boolean() && value == false) ||
                       ((value.is_array() || value.is_object()) && value.empty());
      if (off) continue;
      if (key == "bias") {
        if (json_.required<std::string>(key) == "none") continue;
        json_.fail(key, std::string("expected \"none\": biases of an adapter are not read; ") + peft_way_out);
      }
      if (key == "init_lora_weights") {
        // The others change the base's weights, to which A and B then belong.
        if (value == true || value == "gaussian" || value == "eva" || value == "orthogonal") continue;
        json_.fail(key,
                   "expected a beginning that leaves the base as it is (true, false, \"gaussian\", \"eva\", "
                   "\"orthogonal\"); save with peft's path_initial_model_for_weight_conversion, or " +
                       std::string(peft_way_out));
      }
      json_.fail(key,
                 "expected a LoRA of A and B alone: no such field, null or false; what this one does is not "
                 "known here: " +
                     std::string(peft_way_out));
    }
  }

  std::size_t count(double found, const char* field) const {
    if (found >= 1.0 && found <= static_cast<double>(most_peft_rank) && found == std::floor(found)) {
      return static_cast<std::size_t>(found);
    }
    json_.fail(field, "expected a rank from 1 to " + std::to_string(most_peft_rank) + ", found " +
                          short_number(found) + "; correct it");
  }
  double number(double found, const char* field) const {
    if (std::abs(found) <= 1e9) return found;
    json_.fail(field, "expected a number of at most 1e9, found " + short_number(found) + "; correct it");
  }

  std::vector<PeftPattern> patterns(const char* field, bool ranks) const {
    std::vector<PeftPattern> result;
    const auto object = json_.optional_object(field);
    if (!object) return result;
    for (const auto& [key, unused] : object->value().get_ref<const nlohmann::json::object_t&>()) {
      if (!is_peft_pattern(key)) {
        object->fail(
            key,
            "expected the name of a module, or its end, as \"in_proj\" or \"layers.0.mixer.in_proj\"; "
            "write the expression out, a name for each module");
      }
      const auto found = object->required<double>(key);
      result.push_back({key, ranks ? static_cast<double>(count(found, field)) : number(found, field)});
    }
    return result;
  }

  std::vector<std::string> names(const char* field) const {
    return json_.optional<std::vector<std::string>>(field).value_or(std::vector<std::string>{});
  }

  JsonObject json_;
};

}  // namespace detail

// peft takes the first pattern that matches; the order of an object's fields says nothing in JSON.
inline double PeftConfig::number_of(const std::vector<PeftPattern>& patterns, const char* field,
                                    std::string_view module, double otherwise) const {
  const PeftPattern* found = nullptr;
  for (const PeftPattern& each : patterns) {
    if (!detail::peft_pattern_matches(each.pattern, module)) continue;
    if (found != nullptr && found->number != each.number) {
      throw FileError(path, std::string("field ") + field,
                      "expected one number for " + detail::in_quotes(std::string(module)) +
                          ", found those of " + detail::in_quotes(found->pattern) + " and " +
                          detail::in_quotes(each.pattern) + "; name the module once");
    }
    found = &each;
  }
  return found == nullptr ? otherwise : found->number;
}

/// Reads adapter_config.json of a directory. Throws FileError where a field is missing or is not what it must
/// be, and for adapters that do more than LoRA, rsLoRA and DoRA.
inline PeftConfig read_peft_config(const std::filesystem::path& directory) {
  const auto file = directory / detail::peft_config_file;
  const nlohmann::json document =
      read_json(file, {.max_bytes = std::size_t{4} << 20, .max_depth = 8, .max_values = 100'000});
  return detail::PeftConfigReader(document, file.string()).read();
}

/// Whether a directory holds an adapter in peft's format.
inline bool is_peft_adapter(const std::filesystem::path& directory) {
  std::error_code none;
  return std::filesystem::is_regular_file(directory / detail::peft_config_file, none);
}

}  // namespace sdlora
