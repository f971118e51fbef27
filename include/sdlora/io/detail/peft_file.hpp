#pragma once

#include "../../layers/mamba/tensors.hpp"
#include "../peft_config.hpp"
#include "../safetensors.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

/// A tensor of a base checkpoint, as adapters name it.
struct PeftTarget {
  std::string key;                   ///< as "backbone.layers.0.mixer.in_proj.weight"
  std::optional<std::size_t> layer;  ///< none: the model has it once
  std::string in_layer;              ///< the key behind "backbone.layers.0."; else the key
  friend bool operator==(const PeftTarget&, const PeftTarget&) = default;
};

/// What a LoRA or DoRA adds to one tensor: the names of its factors in the file.
struct PeftChange {
  std::string module;  ///< as "backbone.layers.0.mixer.in_proj"
  PeftTarget target;
  std::string a, b;       ///< A (rank, in) and B (out, rank); of an embedding (rank, V) and (d, rank)
  std::string magnitude;  ///< (out); empty without DoRA
  std::size_t rank = 0;
  double scale = 1.0;

  bool is_lookup() const { return target.key == "backbone.embeddings.weight"; }
};

/// A tensor that the adapter replaces as a whole (modules_to_save).
struct PeftReplacement {
  PeftTarget target;
  std::string tensor;  ///< its name in the file
};

/// An adapter in peft's format: adapter_config.json and adapter_model.safetensors.
class PeftAdapter {
 public:
  /// Reads the configuration and finds out what every tensor of the file is. Throws FileError where one is
  /// missing, is no part of a LoRA, rsLoRA or DoRA of a Mamba, or has another rank than the configuration
  /// says.
  static PeftAdapter open(const std::filesystem::path& directory) {
    PeftConfig config = read_peft_config(directory);
    return {std::move(config), TensorFile::open(directory / detail::peft_tensor_file)};
  }

  const PeftConfig& config() const { return config_; }
  const TensorFile& file() const { return file_; }
  const std::vector<PeftChange>& changes() const { return changes_; }
  const std::vector<PeftReplacement>& replacements() const { return replacements_; }

  /// Throws FileError where a tensor does not belong to a model of these sizes.
  void require_fits(const MambaDimensions& m) const {
    for (const PeftChange& change : changes_) {
      const SiteShape shape = facts(change.target, m, change.a).shape(m);
      const std::size_t in = change.is_lookup() ? shape.rows : shape.cols;
      const std::size_t out = change.is_lookup() ? shape.cols : shape.rows;
      require_shape(change.a, {change.rank, in});
      require_shape(change.b, {out, change.rank});
      if (!change.magnitude.empty()) require_shape(change.magnitude, {out});
    }
    for (const PeftReplacement& each : replacements_) {
      require_shape(each.tensor, facts(each.target, m, each.tensor).stored_shape(m));
    }
  }

  /// What the tables of a model know of a target.
  const TensorFacts<MambaDimensions>& facts(const PeftTarget& target, const MambaDimensions& m,
                                            const std::string& tensor) const {
    const auto find = [&](const auto& table) -> const TensorFacts<MambaDimensions>* {
      for (const auto& each : table) {
        // A head that is tied to the embedding has its shape.
        if (each.key == target.in_layer && (each.exists(m) || each.key == "lm_head.weight")) return &each;
      }
      return nullptr;
    };
    if (target.layer && *target.layer >= m.n_layer) {
      refuse(tensor, "expected a layer below " + std::to_string(m.n_layer) +
                         ", as many as the base has, found layer " + std::to_string(*target.layer) +
                         "; give the base that the adapter was trained on");
    }
    const auto* found = target.layer ? find(mamba_facts) : find(model_facts<MambaDimensions>);
    if (found == nullptr) {
      refuse(tensor, "expected a tensor of the base, which has no " + target.key +
                         "; give the base that the adapter was trained on");
    }
    return *found;
  }

  [[noreturn]] void refuse(const std::string& tensor, const std::string& what) const {
    throw FileError(file_.path(), detail::tensor_place(tensor), what);
  }

 private:
  struct Found {
    std::string a, b, magnitude;
  };

  PeftAdapter(PeftConfig config, TensorFile file) : config_(std::move(config)), file_(std::move(file)) {
    std::map<std::string, Found> modules;
    for (const std::string& name : file_.names()) sort_in(name, modules);
    if (modules.empty() && replacements_.empty()) {
      throw FileError(file_.path(), "", "expected tensors of an adapter, found none; save the adapter again");
    }
    for (const auto& [module, found] : modules) add(module, found);
    require_named();
  }

  void sort_in(const std::string& name, std::map<std::string, Found>& modules) {
    constexpr std::string_view prefix = "base_model.model.";
    std::string rest = name;
    if (!rest.starts_with(prefix)) refuse_unknown(name);
    rest.erase(0, prefix.size());
    // The mixer whose A_log is adapted is wrapped, and so holds the others in "base_layer".
    constexpr std::string_view wrapped = ".base_layer.";
    for (auto at = rest.find(wrapped); at != std::string::npos; at = rest.find(wrapped)) {
      rest.erase(at, wrapped.size() - 1);
    }
    constexpr std::pair<std::string_view, std::string Found::*> kinds[] = {
        {".lora_A.weight", &Found::a},
        {".lora_B.weight", &Found::b},
        {".lora_embedding_A", &Found::a},
        {".lora_embedding_B", &Found::b},
        {".lora_magnitude_vector", &Found::magnitude},
        {".lora_magnitude_vector.weight", &Found::magnitude}};
    for (const auto& [end, member] : kinds) {
      if (!rest.ends_with(end)) continue;
      rest.resize(rest.size() - end.size());
      const bool embedding = end.starts_with(".lora_embedding");
      if (embedding && rest != "backbone.embeddings") refuse_unknown(name);
      std::string& place = modules[rest].*member;
      if (!place.empty())
        refuse(name, "expected one tensor of this kind, found " + place + " besides; save the adapter again");
      place = name;
      return;
    }
    if (!rest.ends_with(".weight") && !rest.ends_with(".bias")) refuse_unknown(name);
    replacements_.push_back({target_of(rest), name});
  }

  [[noreturn]] void refuse_unknown(const std::string& name) const {
    refuse(name, std::string(
                     "expected lora_A, lora_B, lora_embedding_A and _B, lora_magnitude_vector or a module of "
                     "modules_to_save, found a name that is none of them; ") +
                     detail::peft_way_out);
  }

  static PeftTarget target_of(const std::string& key) {
    constexpr std::string_view layers = "backbone.layers.";
    if (key.starts_with(layers)) {
      const std::string_view rest = std::string_view(key).substr(layers.size());
      const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
      if (digits > 0 && digits < 10 && digits < rest.size() && rest[digits] == '.') {
        return {key, static_cast<std::size_t>(std::stoul(std::string(rest.substr(0, digits)))),
                std::string(rest.substr(digits + 1))};
      }
    }
    return {key, {}, key};
  }

  void add(const std::string& module, const Found& found) {
    const std::string& any = !found.a.empty() ? found.a : !found.b.empty() ? found.b : found.magnitude;
    if (found.a.empty() || found.b.empty()) {
      refuse(any, "expected A and B of this module, found one without the other; save the adapter again");
    }
    PeftChange change{.module = module,
                      .target = target_of(module + ".weight"),
                      .a = found.a,
                      .b = found.b,
                      .magnitude = found.magnitude};
    if (const PeftTarget mixer = target_of(module); mixer.layer && mixer.in_layer == "mixer") {
      // A bare parameter: the file does not say which.
      for (const std::string& name : config_.target_parameters) {
        if (!detail::ends_in_name(name, "A_log")) {
          throw FileError(
              config_.path, "field target_parameters",
              "expected A_log alone, found " + detail::in_quotes(name) + "; " + detail::peft_way_out);
        }
      }
      if (config_.target_parameters.empty()) {
        refuse(
            any,
            "expected A_log among target_parameters of the configuration, where the mixer itself has a LoRA, "
            "found none; save the adapter again");
      }
      change.module = module + ".A_log";
      change.target = target_of(change.module);
    }
    constexpr std::string_view adapted[] = {
        "mixer.in_proj.weight", "mixer.x_proj.weight",        "mixer.dt_proj.weight", "mixer.out_proj.weight",
        "mixer.A_log",          "backbone.embeddings.weight", "lm_head.weight"};
    if (std::find(std::begin(adapted), std::end(adapted), change.target.in_layer) == std::end(adapted)) {
      refuse(any,
             std::string(
                 "expected in_proj, x_proj, dt_proj, out_proj, A_log, embeddings or lm_head of a Mamba; ") +
                 detail::peft_way_out);
    }
    if (change.is_lookup() != found.a.ends_with(".lora_embedding_A")) refuse_unknown(any);
    change.rank = config_.rank_of(change.module);
    change.scale = config_.scale_of(change.module);
    const auto& shape = file_.info(found.a).shape;
    if (shape.size() != 2 || shape[0] != change.rank) {
      refuse(found.a, "expected a matrix of the rank " + std::to_string(change.rank) +
                          " that adapter_config.json says (r, rank_pattern), found shape " +
                          shape_text(shape) + "; give the configuration that was saved with it");
    }
    if (config_.dora && change.is_lookup()) {
      refuse(any, std::string("DoRA of an embedding is not read; ") + detail::peft_way_out);
    }
    if (config_.dora == found.magnitude.empty()) {
      refuse(any,
             config_.dora
                 ? "expected a lora_magnitude_vector beside A and B, as use_dora says, found none; save the "
                   "adapter again"
                 : "expected use_dora in adapter_config.json where there is a lora_magnitude_vector; give "
                   "the configuration that was saved with it");
    }
    changes_.push_back(std::move(change));
  }

  /// Every name of the configuration has its tensors, and every replaced module its name.
  void require_named() const {
    const auto lacks = [&](const char* field, const std::string& name) {
      throw FileError(
          config_.path, std::string("field ") + field,
          "names " + detail::in_quotes(name) + ", of which " + file_.path() +
              " has no tensor: that part would learn nothing; save the adapter again, or remove the name");
    };
    const auto changed = [&](const std::string& name) {
      return std::any_of(changes_.begin(), changes_.end(),
                         [&](const PeftChange& each) { return detail::ends_in_name(each.module, name); });
    };
    for (const std::string& name : config_.target_modules) {
      if (!changed(name)) lacks("target_modules", name);
    }
    for (const std::string& name : config_.target_parameters) {
      if (!changed(name)) lacks("target_parameters", name);
    }
    const auto saved_by = [&](const PeftReplacement& each, const std::string& name) {
      return detail::ends_in_name(each.target.key.substr(0, each.target.key.rfind('.')), name);
    };
    for (const std::string& name : config_.modules_to_save) {
      if (std::none_of(replacements_.begin(), replacements_.end(),
                       [&](const PeftReplacement& each) { return saved_by(each, name); })) {
        lacks("modules_to_save", name);
      }
    }
    for (const PeftReplacement& each : replacements_) {
      if (std::none_of(config_.modules_to_save.begin(), config_.modules_to_save.end(),
                       [&](const std::string& name) { return saved_by(each, name); })) {
        refuse(each.tensor,
               "expected only modules that modules_to_save of adapter_config.json names, found this one "
               "besides; save the adapter again");
      }
    }
  }

  void require_shape(const std::string& name, const std::vector<std::size_t>& shape) const {
    if (file_.info(name).shape == shape) return;
    refuse(name, "expected shape " + shape_text(shape) + " as the base has it, found " +
                     shape_text(file_.info(name).shape) + "; give the base that the adapter was trained on");
  }

  PeftConfig config_;
  TensorFile file_;
  std::vector<PeftChange> changes_;
  std::vector<PeftReplacement> replacements_;
};

}  // namespace sdlora
