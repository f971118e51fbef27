#pragma once

#include "../layers/mamba/tensors.hpp"
#include "../model/mamba_model.hpp"
#include "../tensor/matmul.hpp"
#include "peft_config.hpp"
#include "safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
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

namespace detail {

/// The factors of a change, as B·A of the target's own shape (rows, cols): an embedding's are stored
/// transposed.
template <class T>
struct PeftFactors {
  PeftFactors(const PeftAdapter& adapter, const PeftChange& change)
      : a(adapter.file().read<T>(change.a)), b(adapter.file().read<T>(change.b)), rank(change.rank) {
    if (!change.is_lookup()) return;
    const std::vector<T> v_r = transpose(a), r_d = transpose(b, b.size() / rank);
    b = v_r;
    a = r_d;
  }
  MatrixView<const T> A() const { return {a.data(), rank, a.size() / rank}; }
  MatrixView<const T> B() const { return {b.data(), b.size() / rank, rank}; }

  std::vector<T> a, b;
  std::size_t rank;

 private:
  std::vector<T> transpose(const std::vector<T>& from) const { return transpose(from, rank); }
  static std::vector<T> transpose(const std::vector<T>& from, std::size_t rows) {
    const std::size_t cols = from.size() / rows;
    std::vector<T> to(from.size());
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
    }
    return to;
  }
};

/// weights += scale · B·A; and with DoRA each row of the sum gets the length that the magnitude says.
template <class T>
void add_peft_change(MatrixView<T> weights, const PeftAdapter& adapter, const PeftChange& change) {
  const PeftFactors<T> factors(adapter, change);
  sdlora::matmul(weights, factors.B(), factors.A(), Write::Add, static_cast<T>(change.scale));
  const auto require_finite = [&] {
    if (find_not_finite(std::span<const T>(weights.data, weights.rows * weights.cols)) ==
        weights.rows * weights.cols) {
      return;
    }
    adapter.refuse(change.b,
                   "makes the weight not finite where it is added; use an adapter from before the training "
                   "diverged");
  };
  require_finite();
  if (change.magnitude.empty()) return;
  const std::vector<T> m = adapter.file().read<T>(change.magnitude);
  for (std::size_t i = 0; i < weights.rows; ++i) {
    double squares = 0.0;
    for (std::size_t j = 0; j < weights.cols; ++j) {
      squares += static_cast<double>(weights(i, j)) * static_cast<double>(weights(i, j));
    }
    if (!(squares > 0.0)) {
      adapter.refuse(change.magnitude, "row " + std::to_string(i) +
                                           " of the adapted weight is zero, so that no magnitude "
                                           "can scale it; use an adapter from before the training diverged");
    }
    const double factor = static_cast<double>(m[i]) / std::sqrt(squares);
    for (std::size_t j = 0; j < weights.cols; ++j) {
      weights(i, j) = static_cast<T>(factor * static_cast<double>(weights(i, j)));
    }
  }
  require_finite();
}

/// Whether the adapter replaces embedding and head by the same values, so that they can stay tied.
inline bool replaces_both_alike(const PeftAdapter& adapter) {
  std::span<const std::byte> lookup, head;
  for (const PeftReplacement& each : adapter.replacements()) {
    if (each.target.key == "backbone.embeddings.weight") lookup = adapter.file().bytes(each.tensor);
    if (each.target.key == "lm_head.weight") head = adapter.file().bytes(each.tensor);
  }
  return !lookup.empty() && std::equal(lookup.begin(), lookup.end(), head.begin(), head.end());
}

/// Whether embedding and head, tied in the base, are no longer one.
inline bool unties_head(const PeftAdapter& adapter) {
  const auto apart = [](const PeftTarget& target) {
    return target.key == "backbone.embeddings.weight" || target.key == "lm_head.weight";
  };
  return !replaces_both_alike(adapter) &&
         (std::any_of(adapter.changes().begin(), adapter.changes().end(),
                      [&](const PeftChange& each) { return apart(each.target); }) ||
          std::any_of(adapter.replacements().begin(), adapter.replacements().end(),
                      [&](const PeftReplacement& each) { return apart(each.target); }));
}

}  // namespace detail

/// A copy of the base with an adapter of peft's format added to its weights: whatever modules it has, the
/// function that peft computes. In peft an adapted embedding is no longer the head; so the copy of a base
/// with a tied head then has a head of its own. All values of the copy are of the base's scalar, also where
/// the base stores matrices as bfloat16. Throws FileError where the adapter cannot be read or does not
/// belong to the base.
template <class BaseType>
std::shared_ptr<const BaseType> apply_peft_adapter(const BaseType& base,
                                                   const std::filesystem::path& directory) {
  using T = typename decltype(base.norm_f())::value_type;
  if (base.weights() != StoredType::Scalar) {
    return apply_peft_adapter(base.stored_as(StoredType::Scalar), directory);
  }
  const PeftAdapter adapter = PeftAdapter::open(directory);
  adapter.require_fits(base.dimensions());
  std::shared_ptr<BaseType> result;
  if (base.dimensions().tied_head && detail::unties_head(adapter)) {
    MambaDimensions m = base.dimensions();
    m.tied_head = false;
    result = std::make_shared<BaseType>(m);
    std::map<std::string, const void*> from;
    base.visit([&](const std::string& name, auto values, const auto&) { from[name] = values.data; });
    result->visit([&](const std::string& name, MatrixView<T> values, const auto&) {
      const auto found = from.find(name == "lm_head.weight" ? "backbone.embeddings.weight" : name);
      std::copy_n(static_cast<const T*>(found->second), values.rows * values.cols, values.data);
    });
  } else {
    result = std::make_shared<BaseType>(base);
  }
  std::map<std::string, const PeftChange*> changes;
  for (const PeftChange& each : adapter.changes()) changes[each.target.key] = &each;
  std::map<std::string, const PeftReplacement*> replacements;
  for (const PeftReplacement& each : adapter.replacements()) replacements[each.target.key] = &each;
  result->visit([&](const std::string& name, MatrixView<T> values, const auto&) {
    if (const auto found = replacements.find(name); found != replacements.end()) {
      adapter.file().read(found->second->tensor, std::span<T>(values.data, values.rows * values.cols));
    }
    if (const auto found = changes.find(name); found != changes.end()) {
      detail::add_peft_change(values, adapter, *found->second);
    }
  });
  result->finish();
  return result;
}

namespace detail {

/// A site of a placement, as far as an adapter of peft's can fill it.
struct PeftSite {
  std::string_view site, policy;
  bool in_block = false;
  const TensorFacts<MambaDimensions>* facts = nullptr;  ///< null: a checkpoint has no such values
  std::size_t fixed_rank = 0;                           ///< 0: left to run time
};

template <Placement P>
std::vector<PeftSite> peft_sites() {
  std::vector<PeftSite> result;
  each_learning_site<P>([&]<class S, class Policy>(S, Policy) {
    PeftSite site{S::name, Policy::name, MambaSite<S>::in_block.found, MambaSite<S>::facts(), 0};
    if constexpr (Policy::is_static && requires(typename Policy::options o) { o.rank; }) {
      site.fixed_rank = resolved<Policy>(typename Policy::options{}, SiteInfo{S::name, S::kind, {}}).rank;
    }
    result.push_back(site);
  });
  return result;
}

/// Finds for every part of what an adapter changes the site that takes it, and the options of a model that
/// does.
class PeftPlan {
 public:
  PeftPlan(const PeftAdapter& adapter, std::vector<PeftSite> sites, const std::string& placement,
           const MambaDimensions& m)
      : adapter_(adapter), sites_(std::move(sites)), placement_(placement), m_(m) {
    adapter.require_fits(m);
    const bool tied = m.tied_head;
    for (const PeftChange& change : adapter.changes()) {
      if (change.target.key == "lm_head.weight") refuse_head(change.a);
      each_site(change.target, change.a, change.magnitude.empty() ? "lora" : "dora",
                [&](const PeftSite& site, std::size_t, std::size_t) {
                  Use& use = uses_[std::string(site.site)];
                  use.rank = std::max(use.rank, change.rank);
                  if (use.scale == 0.0 && change.scale > 0.0) {
                    use.scale = change.scale;
                    use.alpha = adapter_.config().alpha_of(change.module);
                    use.rank_of_alpha = change.rank;
                  }
                  if (change.target.layer) use.layers.push_back(*change.target.layer);
                });
    }
    const bool alike = replaces_both_alike(adapter);
    for (const PeftReplacement& each : adapter.replacements()) {
      if (each.target.key == "lm_head.weight") {
        if (tied && alike) continue;  // it is the embedding's
        refuse_head(each.tensor);
      }
      if (each.target.key == "backbone.embeddings.weight" && tied && !alike) {
        adapter.refuse(each.tensor,
                       "replaces the embedding and not the head that the base ties to it, which a placement "
                       "cannot do; give the adapter's directory to generate or score as it is");
      }
      each_site(each.target, each.tensor, "full", [&](const PeftSite& site, std::size_t, std::size_t) {
        if (each.target.layer) uses_[std::string(site.site)].layers.push_back(*each.target.layer);
      });
    }
    for (auto& [site, use] : uses_) complete(site, use);
  }

  /// Of the model: ranks and scales by site, layers in which a site learns.
  AdapterOptions options() const {
    AdapterOptions options;
    std::size_t usual = 1;
    for (const auto& [site, use] : uses_) usual = std::max(usual, use.rank);
    usual = std::min(usual, adapter_.config().rank);
    for (const PeftSite& site : sites_) {
      if (site.policy == "full") continue;
      const auto found = uses_.find(std::string(site.site));
      // Where the adapter has nothing B stays zero.
      const std::size_t rank = found == uses_.end() ? usual : found->second.rank;
      options.set("rank", static_cast<double>(rank), site.site);
      if (found != uses_.end()) options.set("alpha", found->second.alpha, site.site);
      options.set("dropout", adapter_.config().dropout, site.site);
      if (site.policy == "dora") options.set("detach_norm", 1.0, site.site);
      if (site.site == site::Embedding::name) options.set("lookup_only", 1.0, site.site);
    }
    for (const auto& [site, use] : uses_) {
      if (use.layers.empty() || use.layers.size() == m_.n_layer) continue;
      const std::size_t first = use.layers.front(), last = use.layers.back() + 1;
      // Of layers with gaps all learn, those of the gaps from zero.
      if (last - first == use.layers.size()) options.layers.push_back({site, first, last});
    }
    return options;
  }

  /// The values of what learns: those given, the start of such a model, with the adapter's.
  template <class T, class D>
  std::vector<T> values(const ParameterStore<T, D>& store) const {
    std::vector<T> values = store.host_values();
    const auto part = [&](const PeftTarget& target, const PeftSite& site,
                          const char* suffix) -> std::span<T> {
      const std::string layer = target.layer ? "layers." + std::to_string(*target.layer) + "." : "";
      const ParameterInfo* const entry = store.find(layer + std::string(site.site) + suffix);
      if (entry == nullptr) {
        throw ArgumentError("load_peft_adapter: the model has no " + layer + std::string(site.site) + suffix +
                            "; choose a placement whose policy there keeps it under this name");
      }
      return std::span<T>(values).subspan(entry->offset, entry->size());
    };
    for (const PeftChange& change : adapter_.changes()) {
      const PeftFactors<T> factors(adapter_, change);
      const std::vector<T> magnitude =
          change.magnitude.empty() ? std::vector<T>{} : adapter_.file().read<T>(change.magnitude);
      each_site(change.target, change.a, change.magnitude.empty() ? "lora" : "dora",
                [&](const PeftSite& site, std::size_t first, std::size_t rows) {
                  const Use& use = uses_.at(std::string(site.site));
                  const std::size_t rank = use.rank;
                  const auto A = part(change.target, site, ".lora_A"),
                             B = part(change.target, site, ".lora_B");
                  std::copy(factors.a.begin(), factors.a.end(), A.begin());  // the first of its rows
                  const T factor = static_cast<T>(change.scale == use.scale ? 1.0 : change.scale / use.scale);
                  for (std::size_t i = 0; i < rows; ++i) {
                    for (std::size_t k = 0; k < change.rank; ++k)
                      B[i * rank + k] = factor * factors.B()(first + i, k);
                  }
                  if (magnitude.empty()) return;
                  std::copy_n(magnitude.begin() + static_cast<std::ptrdiff_t>(first), rows,
                              part(change.target, site, ".magnitude").begin());
                });
    }
    for (const PeftReplacement& each : adapter_.replacements()) {
      if (each.target.key == "lm_head.weight") continue;
      const std::vector<T> all = adapter_.file().read<T>(each.tensor);
      each_site(each.target, each.tensor, "full",
                [&](const PeftSite& site, std::size_t first, std::size_t rows) {
                  const std::size_t cols = site.facts->cols(m_);
                  std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(first * cols), rows * cols,
                              part(each.target, site, "").begin());
                });
    }
    return values;
  }

 private:
  struct Use {
    std::size_t rank = 0;
    double scale = 0.0, alpha = 0.0;
    std::size_t rank_of_alpha = 0;
    std::vector<std::size_t> layers;
  };

  [[noreturn]] void refuse_head(const std::string& tensor) const {
    adapter_.refuse(
        tensor,
        "changes the head, which no placement trains; give the adapter's directory to generate, score "
        "or merge as it is");
  }

  /// Calls f(site, first row, rows) for the sites of a target, which must all take `kind`.
  template <class Function>
  void each_site(const PeftTarget& target, const std::string& tensor, std::string_view kind,
                 const Function& f) const {
    const TensorFacts<MambaDimensions>& facts = adapter_.facts(target, m_, tensor);
    std::size_t first = 0;
    for (const auto& part : facts.parts) {
      if (part.rows == nullptr) continue;
      const std::size_t rows = part.rows(m_);
      const auto site = std::find_if(sites_.begin(), sites_.end(),
                                     [&](const PeftSite& each) { return each.site == part.site; });
      const bool fits =
          site != sites_.end() && (site->policy == kind || (kind == "lora" && site->policy == "rslora"));
      if (!fits) {
        adapter_.refuse(
            tensor, "expected a placement with " + std::string(kind) + " at " +
                        (part.site.empty() ? target.key : std::string(part.site)) + ", found " +
                        in_quotes(placement_) +
                        "; choose a placement that covers the adapter, or give its directory to generate, "
                        "score or merge, which take any");
      }
      f(*site, first, rows);
      first += rows;
    }
  }

  void complete(const std::string& name, Use& use) {
    std::sort(use.layers.begin(), use.layers.end());
    if (use.rank == 0) return;  // replaced as a whole
    for (const PeftSite& site : sites_) {
      if (site.site != name) continue;
      if (site.fixed_rank != 0 && site.fixed_rank < use.rank) {
        throw FileError(adapter_.config().path, "field r",
                        "expected a rank of at most " + std::to_string(site.fixed_rank) +
                            ", which the placement fixes at " + name + ", found " + std::to_string(use.rank) +
                            "; choose a placement whose rank is left to run time");
      }
      if (site.fixed_rank != 0) use.rank = site.fixed_rank;
      const auto rank = static_cast<double>(use.rank);
      const bool same =
          use.rank == use.rank_of_alpha && (site.policy == "rslora") == adapter_.config().rank_stabilised;
      if (use.scale == 0.0) use.scale = site.policy == "rslora" ? std::sqrt(rank) : 1.0;  // as alpha = rank
      if (!same) use.alpha = use.scale * (site.policy == "rslora" ? std::sqrt(rank) : rank);
    }
  }

  const PeftAdapter& adapter_;
  std::vector<PeftSite> sites_;
  std::string placement_;
  MambaDimensions m_;
  std::map<std::string, Use> uses_;
};

}  // namespace detail

/// A model with what an adapter of peft's format has learned, on `base`, to be trained on: the sites of its
/// placement must cover the adapter's modules (LoRA or RsLoRA for LoRA and rsLoRA, DoRA for DoRA, Full for
/// modules_to_save). Sites and layers that the adapter leaves out begin as they do without it. Ranks that
/// differ by layer are filled up with zeros. For a model that only computes, `apply_peft_adapter` needs no
/// placement. Throws FileError.
template <class Model>
Model load_peft_adapter(std::shared_ptr<const typename Model::base_type> base,
                        const std::filesystem::path& directory) {
  using P = typename Model::placement_type;
  static_assert(P::learns && !P::selects,
                "sdlora::load_peft_adapter: peft's adapters select no dimensions; use a placement of LoRA, "
                "RsLoRA, DoRA "
                "and Full, as presets::LoRAPeft<>");
  const PeftAdapter adapter = PeftAdapter::open(directory);
  const detail::PeftPlan plan(adapter, detail::peft_sites<P>(), describe<P>(), base->dimensions());
  Model model(std::move(base), plan.options());
  model.parameters().set_values(plan.values(model.parameters()));
  return model;
}

}  // namespace sdlora
