#pragma once

#include "../layers/mamba/tensors.hpp"
#include "../model/mamba_model.hpp"
#include "../tensor/host_copy.hpp"
#include "atomic_file.hpp"
#include "peft_config.hpp"
#include "safetensors_writer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace sdlora {

/// A site whose adapter peft's format cannot hold, and why.
struct PeftObstacle {
  std::string site;
  std::string reason;
};

namespace detail {

/// A low-rank change of some rows of a tensor: scale · B·A.
struct ExportedFactors {
  std::size_t first = 0, rows = 0, rank = 0;  // rows [first, first + rows) of the tensor
  double scale = 1.0;
  std::vector<double> A, B;  // (rank, cols), (rows, rank)
  std::vector<double> magnitude;
};

/// One module as peft holds it.
struct ExportedModule {
  std::string name;  // as "backbone.layers.0.mixer.in_proj"
  std::string key;   // of its tensors, as "backbone.layers.0.mixer.base_layer.in_proj.lora_"
  std::size_t rank = 0;
  double alpha = 0.0;
};

/// Says what a model's adapters are in peft's format. `Model` is a MambaModel or stands where one stands:
/// what is read of it is its placement as text, its options and selection, what learns, and its base.
template <class Model>
class PeftExport {
  using T = typename Model::value_type;

 public:
  explicit PeftExport(const Model& model)
      : model_(model),
        m_(model.dimensions()),
        base_(model.base()),
        values_(model.parameters().value_row()),
        policies_(parse(model.placement())) {
    for (const auto& [site, policy] : policies_) {
      dora_ = dora_ || policy == "dora";
      a_log_ = a_log_ || site == site::ALog::name;
    }
  }

  std::vector<PeftObstacle> obstacles() const {
    std::vector<PeftObstacle> result;
    for (const auto& [site, policy] : policies_) {
      if (const std::string reason = obstacle(site, policy); !reason.empty())
        result.push_back({site, reason});
    }
    return result;
  }

  void save(const std::filesystem::path& directory, const std::string& base_name) {
    make();
    make_directories(directory);
    // A directory without its configuration is no adapter: killed here, none is half old, half new.
    std::error_code none;
    std::filesystem::remove(directory / peft_config_file, none);
    SafetensorsWriter writer;
    writer.set_metadata("format", "pt");
    for (const Tensor& each : tensors_) {
      writer.add(each.name, sizeof(T) == 8 ? Dtype::F64 : Dtype::F32, each.shape,
                 std::span<const double>(each.values));
    }
    writer.save(directory / peft_tensor_file);
    AtomicFile config(directory / peft_config_file);
    config.write(config_text(base_name));
    config.commit();
  }

 private:
  struct Tensor {
    std::string name;
    std::vector<std::size_t> shape;
    std::vector<double> values;
  };

  static std::map<std::string, std::string> parse(const std::string& placement) {
    std::map<std::string, std::string> result;
    for (std::size_t at = 0; at < placement.size();) {
      const std::size_t end = std::min(placement.find(' ', at), placement.size());
      const std::size_t equals = placement.find('=', at);
      const std::string policy = placement.substr(equals + 1, end - equals - 1);
      if (policy != "frozen") result[placement.substr(at, equals - at)] = policy;
      at = end + 1;
    }
    return result;
  }

  static bool is_lora(std::string_view policy) {
    return policy == "lora" || policy == "rslora" || policy == "lora_fa" || policy == "pissa";
  }
  bool has(std::string_view site) const { return policies_.contains(std::string(site)); }

  /// Why the site cannot be held; empty: it can.
  std::string obstacle(const std::string& site, const std::string& policy) const {
    const std::string merge = "; merge the adapter and use the merged checkpoint";
    if (!position_of(mamba_facts, site).found && !position_of(model_facts<MambaDimensions>, site).found) {
      return "is no change of a weight, which is all that the format holds; keep this library's own adapter";
    }
    if (policy != "full" && policy != "dora" && policy != "selected_dimensions" && !is_lora(policy)) {
      return "the format has no " + policy + merge;
    }
    if (site == site::D::name) return "is a bare vector, which peft does not reach" + merge;
    if (site == site::ALog::name) {
      return dora_ ? "peft adapts no bare parameter, as A_log is, beside DoRA" + merge : std::string();
    }
    if (policy == "full") {
      if (is_in_mixer(site) && a_log_) {
        return "peft saves no module inside a mixer whose A_log it adapts" + merge;
      }
      for (const auto& [other, its] : policies_) {
        if (its != "full" && same_tensor(site, other)) {
          return "learns as a whole beside " + its + " at " + other + ", which is in the same module" + merge;
        }
      }
      return {};
    }
    if (site == site::OutProj::name || site == site::Conv1d::name)
      return "peft refuses LoRA there on a Mamba" + merge;
    if (site == site::DtProj::name) {
      return "transformers reads its weight past the module, so that peft's LoRA does nothing there" + merge;
    }
    if (site == site::Embedding::name && m_.tied_head &&
        model_.options().number("lookup_only", 0.0, site) == 0.0) {
      return "its LoRA acts on the head as well, which is tied to the embedding; peft's acts on the lookup "
             "alone" +
             merge;
    }
    if (dora_ && policy != "dora")
      return "is " + policy + " beside DoRA; in peft all modules are DoRA then" + merge;
    return {};
  }

  static bool is_in_mixer(std::string_view site) {
    const SitePosition at = position_of(mamba_facts, site);
    return at.found && mamba_facts[at.tensor].key.starts_with("mixer.");
  }
  /// Whether two sites lie in one module of peft's.
  static bool same_tensor(std::string_view a, std::string_view b) {
    const SitePosition x = position_of(mamba_facts, a), y = position_of(mamba_facts, b);
    return x.found && y.found && x.tensor == y.tensor;
  }

  void make() {
    std::string wrong;
    for (const PeftObstacle& each : obstacles()) wrong += "\n  " + each.site + ": " + each.reason;
    if (!wrong.empty()) {
      throw ArgumentError("save_peft_adapter: peft's format cannot hold what was learned at" + wrong +
                          "\nThe placement lora-peft is the one to train for peft.");
    }
    if (base_->weights() == StoredType::Int8) {
      base_ = std::make_shared<typename Model::base_type>(base_->stored_as(StoredType::Scalar));
    }
    for (const ParameterInfo& entry : model_.parameters().entries()) require_finite(entry);
    for (std::size_t l = 0; l < m_.n_layer; ++l) {
      const bool wrapped = add_a_log(l);
      for (const auto& facts : mamba_facts) {
        if (facts.key == "mixer.in_proj.weight" || facts.key == "mixer.x_proj.weight")
          add_linear(facts, l, wrapped);
      }
    }
    add_embedding();
    base_->visit([&](const std::string& key, auto values, const std::vector<std::size_t>& shape) {
      add_replacement(key, values, shape);
    });
    if (tensors_.empty()) {
      throw ArgumentError("save_peft_adapter: nothing learns in this model; give one with an adapter");
    }
    if (modules_.empty()) add_empty_lora();
  }

  const ParameterInfo* find(const std::string& layer, std::string_view site, const char* suffix) const {
    return model_.parameters().find(layer + std::string(site) + suffix);
  }
  /// What a site holds and does not learn, by the name of its place and a suffix.
  std::vector<double> read_constant(const std::string& layer, std::string_view site,
                                    const char* suffix) const {
    const HostCopy copy(model_.parameters().find_constant(layer + std::string(site) + suffix));
    return {copy.values().begin(), copy.values().end()};
  }
  std::vector<double> read(const ParameterInfo* entry) const {
    const auto part = values_.values().subspan(entry->offset, entry->size());
    return {part.begin(), part.end()};
  }
  void require_finite(const ParameterInfo& entry) const {
    const auto values = values_.values().subspan(entry.offset, entry.size());
    if (const std::size_t i = find_not_finite(values); i != values.size()) {
      throw Error("save_peft_adapter: " + entry.name + " is not finite at element " + std::to_string(i) +
                  "; nothing was written: go back to an earlier checkpoint and lower the learning rate");
    }
  }
  static std::string layer_prefix(std::size_t l) { return "layers." + std::to_string(l) + "."; }

  double scale_of(const std::string& policy, const std::string& site, std::size_t rank) const {
    const double alpha = model_.options().number("alpha", 0.0, site);
    const auto r = static_cast<double>(rank);
    return (alpha == 0.0 ? r : alpha) / (policy == "rslora" ? std::sqrt(r) : r);
  }

  /// What was learned at one part of a tensor; nothing where it is frozen.
  std::optional<ExportedFactors> factors(std::string_view site, std::size_t l, std::size_t first,
                                         std::size_t rows, std::size_t cols) const {
    const auto policy = policies_.find(std::string(site));
    if (policy == policies_.end() || policy->second == "full") return {};
    const std::string layer = layer_prefix(l);
    ExportedFactors f{
        .first = first, .rows = rows, .rank = 0, .scale = 1.0, .A = {}, .B = {}, .magnitude = {}};
    if (policy->second == "selected_dimensions") {
      const ParameterInfo* const delta = find(layer, site, ".delta");
      if (delta == nullptr) return {};
      // Columns of the chosen channels: A picks them.
      const std::vector<std::uint32_t>& channels = model_.selection().layers.at(l).channels;
      f.rank = channels.size();
      f.A.assign(f.rank * cols, 0.0);
      for (std::size_t c = 0; c < f.rank; ++c) f.A[c * cols + channels[c]] = 1.0;
      f.B = read(delta);
      return f;
    }
    const ParameterInfo* const b = find(layer, site, ".lora_B");
    if (b == nullptr) return {};
    const ParameterInfo* const a = find(layer, site, ".lora_A");
    f.rank = b->cols;
    f.A = a == nullptr ? read_constant(layer, site, ".lora_A") : read(a);
    f.B = read(b);
    f.scale = scale_of(policy->second, policy->first, f.rank);
    if (policy->second == "pissa")
      subtract(f, read_constant(layer, site, ".pissa_A"), read_constant(layer, site, ".pissa_B"));
    if (const ParameterInfo* m = find(layer, site, ".magnitude")) f.magnitude = read(m);
    return f;
  }

  /// B·A − B₀·A₀, of twice the rank.
  static void subtract(ExportedFactors& f, const std::vector<double>& a, const std::vector<double>& b) {
    const std::size_t r = f.rank;
    std::vector<double> B;
    for (std::size_t i = 0; i < f.rows; ++i) {
      for (std::size_t k = 0; k < r; ++k) B.push_back(f.B[i * r + k]);
      for (std::size_t k = 0; k < r; ++k) B.push_back(-b[i * r + k]);
    }
    f.A.insert(f.A.end(), a.begin(), a.end());
    f.B = std::move(B);
    f.rank = 2 * r;
  }

  /// LoRAs of rows of one tensor become one of their ranks together, whose B is block-diagonal; those with
  /// the same A share it.
  void add_linear(const TensorFacts<MambaDimensions>& facts, std::size_t l, bool wrapped) {
    const SiteShape shape = facts.shape(m_);
    std::vector<ExportedFactors> parts;
    std::size_t first = 0;
    for (const auto& part : facts.parts) {
      if (part.rows == nullptr) continue;
      const std::size_t rows = part.rows(m_);
      if (auto found = factors(part.site, l, first, rows, shape.cols)) parts.push_back(std::move(*found));
      first += rows;
    }
    if (parts.empty()) return;
    std::vector<std::size_t> at(parts.size());  // of each part's first row of A
    std::size_t rank = 0;
    bool one_scale = true;
    std::vector<double> A;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      one_scale = one_scale && parts[p].scale == parts[0].scale;
      std::size_t same = 0;
      while (same < p && parts[same].A != parts[p].A) ++same;
      at[p] = same < p ? at[same] : rank;
      if (same < p) continue;
      rank += parts[p].rank;
      A.insert(A.end(), parts[p].A.begin(), parts[p].A.end());
    }
    const double scale = one_scale ? parts[0].scale : 1.0;
    std::vector<double> B(shape.rows * rank, 0.0);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const double factor = one_scale ? 1.0 : parts[p].scale;
      for (std::size_t i = 0; i < parts[p].rows; ++i) {
        for (std::size_t k = 0; k < parts[p].rank; ++k) {
          B[(parts[p].first + i) * rank + at[p] + k] = factor * parts[p].B[i * parts[p].rank + k];
        }
      }
    }
    const std::string module = module_of(l, facts.key);
    const std::string key = wrapped ? std::string(module).insert(module.rfind('.'), ".base_layer") : module;
    add_module(module, key, rank, scale, {std::move(A), {rank, shape.cols}},
               {std::move(B), {shape.rows, rank}});
    if (dora_) add_magnitude(facts, l, key, parts);
  }

  /// Rows without DoRA keep their lengths.
  void add_magnitude(const TensorFacts<MambaDimensions>& facts, std::size_t l, const std::string& key,
                     const std::vector<ExportedFactors>& parts) {
    const SiteShape shape = facts.shape(m_);
    std::vector<double> magnitude(shape.rows);
    base_->visit([&](const std::string& name, auto values, const auto&) {
      if (name != layer_key(l, facts.key)) return;
      const HostCopy copy(values);
      for (std::size_t i = 0; i < shape.rows; ++i) {
        double squares = 0.0;
        for (std::size_t j = 0; j < shape.cols; ++j) {
          const auto w = static_cast<double>(copy.view()(i, j));
          squares += w * w;
        }
        magnitude[i] = std::sqrt(squares);
      }
    });
    for (const ExportedFactors& part : parts) {
      std::copy(part.magnitude.begin(), part.magnitude.end(),
                magnitude.begin() + static_cast<std::ptrdiff_t>(part.first));
    }
    tensors_.push_back(
        {"base_model.model." + key + ".lora_magnitude_vector", {shape.rows}, std::move(magnitude)});
  }

  /// Returns whether A_log learns in this layer. What is no LoRA is one of rank N whose A is the identity.
  bool add_a_log(std::size_t l) {
    const auto policy = policies_.find(std::string(site::ALog::name));
    if (policy == policies_.end()) return false;
    const std::string layer = layer_prefix(l);
    const std::size_t E = m_.d_inner, N = m_.d_state;
    const std::string module = "backbone." + layer + "mixer.A_log", key = "backbone." + layer + "mixer";
    if (is_lora(policy->second)) {
      const ParameterInfo* const a = find(layer, site::ALog::name, ".lora_A");
      if (a == nullptr) return false;
      const std::size_t r = a->rows;
      add_module(module, key, r, scale_of(policy->second, policy->first, r), {read(a), {r, N}},
                 {read(find(layer, site::ALog::name, ".lora_B")), {E, r}});
      return true;
    }
    std::vector<double> change(E * N, 0.0);
    if (policy->second == "full") {
      const ParameterInfo* const own = find(layer, site::ALog::name, "");
      if (own == nullptr) return false;
      change = read(own);
      const HostCopy base(base_->layer(l).A_log);
      for (std::size_t i = 0; i < change.size(); ++i) change[i] -= static_cast<double>(base.values()[i]);
    } else {
      const ParameterInfo* const delta = find(layer, site::ALog::name, ".delta");
      if (delta == nullptr) return false;
      const LayerSelection& chosen = model_.selection().layers.at(l);
      const std::vector<double> values = read(delta);
      for (std::size_t i = 0; i < values.size(); ++i) {
        change[chosen.channels[i / delta->cols] * N + chosen.states[i]] = values[i];
      }
    }
    std::vector<double> identity(N * N, 0.0);
    for (std::size_t n = 0; n < N; ++n) identity[n * N + n] = 1.0;
    add_module(module, key, N, 1.0, {std::move(identity), {N, N}}, {std::move(change), {E, N}});
    return true;
  }

  void add_embedding() {
    const auto policy = policies_.find(std::string(site::Embedding::name));
    if (policy == policies_.end() || !is_lora(policy->second)) return;
    const ParameterInfo* const a = find("", site::Embedding::name, ".lora_A");  // (r, d)
    const ParameterInfo* const b = find("", site::Embedding::name, ".lora_B");  // (V, r)
    const std::size_t r = a->rows, d = a->cols, V = b->rows;
    const auto turned = [](const std::vector<double>& from, std::size_t rows, std::size_t cols) {
      std::vector<double> to(from.size());
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
      }
      return to;
    };
    const std::string module = "backbone.embeddings",
                      name = "base_model.model." + module + ".lora_embedding_";
    modules_.push_back(
        {module, module, r, scale_of(policy->second, policy->first, r) * static_cast<double>(r)});
    tensors_.push_back({name + "A", {r, V}, turned(read(b), V, r)});
    tensors_.push_back({name + "B", {d, r}, turned(read(a), r, d)});
  }

  /// A tensor of the base of which a site learns as a whole goes into the file with its whole module.
  template <class Values>
  void add_replacement(const std::string& key, Values values, const std::vector<std::size_t>& shape) {
    const bool head = key == "lm_head.weight";
    if (head && !m_.tied_head) return;
    const std::size_t at = key.find("layers.");
    const std::size_t in = at == std::string::npos ? 0 : key.find('.', at + 7) + 1;
    const std::string in_layer = key.substr(in),
                      layer = at == std::string::npos ? "" : key.substr(at, in - at);
    const auto module_of_key = [](std::string_view each) { return each.substr(0, each.rfind('.')); };
    const auto learns_here = [&](const auto& facts) {
      return std::any_of(facts.parts.begin(), facts.parts.end(), [&](const auto& part) {
        const auto policy = part.rows == nullptr ? policies_.end() : policies_.find(std::string(part.site));
        return policy != policies_.end() && policy->second == "full" && part.site != site::ALog::name;
      });
    };
    const auto add = [&](const auto& table) {
      const TensorFacts<MambaDimensions>* own = nullptr;
      bool saved = false;
      for (const auto& facts : table) {
        if (facts.key == in_layer) own = &facts;
        saved = saved || (module_of_key(facts.key) == module_of_key(in_layer) && learns_here(facts));
      }
      if (!saved || own == nullptr) return;
      const HostCopy copy(values);
      std::vector<double> all(copy.values().begin(), copy.values().end());
      std::size_t first = 0;
      for (const auto& part : own->parts) {
        if (part.rows == nullptr) continue;
        const std::size_t count = part.rows(m_) * own->cols(m_);
        const auto policy = policies_.find(std::string(part.site));
        const ParameterInfo* const learned = policy == policies_.end() ? nullptr : find(layer, part.site, "");
        if (learned != nullptr) {
          const std::vector<double> its = read(learned);
          std::copy(its.begin(), its.end(), all.begin() + static_cast<std::ptrdiff_t>(first));
        }
        first += count;
      }
      const std::string module(module_of_key(in_layer));
      saved_.insert(module.substr(module.rfind('.') + 1));
      tensors_.push_back({"base_model.model." + key, shape, std::move(all)});
      // peft's embedding is not the head; a tied head goes with it.
      if (key == "backbone.embeddings.weight" && m_.tied_head) {
        saved_.insert("lm_head");
        tensors_.push_back({"base_model.model.lm_head.weight", shape, tensors_.back().values});
      }
    };
    at == std::string::npos ? add(model_facts<MambaDimensions>) : add(mamba_facts);
  }

  /// peft loads no adapter without a LoRA: this one adds nothing.
  void add_empty_lora() {
    const std::size_t E = m_.d_inner, out = m_.dt_rank + 2 * m_.d_state, d = m_.d_model;
    const std::string saved = "backbone.layers.0.mixer.";
    const bool other = saved_.contains("x_proj");
    const std::size_t rows = other ? 2 * E : out, cols = other ? d : E;
    const std::string module = saved + (other ? "in_proj" : "x_proj");
    add_module(module, module, 1, 1.0, {std::vector<double>(cols, 0.0), {1, cols}},
               {std::vector<double>(rows, 0.0), {rows, 1}});
  }

  static std::string module_of(std::size_t l, std::string_view key) {
    return "backbone." + layer_prefix(l) + std::string(key.substr(0, key.rfind('.')));
  }

  struct Factor {
    std::vector<double> values;
    std::vector<std::size_t> shape;
  };
  void add_module(const std::string& module, const std::string& key, std::size_t rank, double scale, Factor A,
                  Factor B) {
    modules_.push_back({module, key, rank, scale * static_cast<double>(rank)});
    tensors_.push_back(
        {"base_model.model." + key + ".lora_A.weight", std::move(A.shape), std::move(A.values)});
    tensors_.push_back(
        {"base_model.model." + key + ".lora_B.weight", std::move(B.shape), std::move(B.values)});
  }

  std::string config_text(const std::string& base_name) const {
    const std::size_t rank = modules_.front().rank;
    const double alpha = modules_.front().alpha;
    const auto short_name = [](const std::string& name) { return name.substr(name.rfind('.') + 1); };
    std::map<std::string, std::vector<const ExportedModule*>> by_name;
    for (const ExportedModule& each : modules_) by_name[short_name(each.name)].push_back(&each);
    std::vector<std::string> targets, parameters;
    std::string ranks, alphas;
    const auto add = [](std::string& list, const std::string& name, const std::string& number) {
      list += (list.empty() ? "" : ", ") + json_string(name) + ": " + number;
    };
    for (const auto& [name, all] : by_name) {
      const bool everywhere = all.size() == m_.n_layer || name == "embeddings";
      const bool alike = std::all_of(all.begin(), all.end(), [&](const ExportedModule* each) {
        return each->rank == all[0]->rank && each->alpha == all[0]->alpha;
      });
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (!everywhere || i == 0) {
          const std::string target = everywhere ? name : all[i]->name;
          name == "A_log" ? parameters.push_back(everywhere ? "mixer.A_log" : target)
                          : targets.push_back(target);
        }
        if (alike && i > 0) continue;
        const std::string pattern = alike ? name : all[i]->name;
        if (all[i]->rank != rank) add(ranks, pattern, std::to_string(all[i]->rank));
        if (all[i]->alpha != alpha) add(alphas, pattern, short_number(all[i]->alpha));
      }
    }
    const auto list = [](const auto& names) {
      std::string text;
      for (const std::string& name : names) text += (text.empty() ? "" : ", ") + json_string(name);
      return text.empty() ? std::string("null") : "[" + text + "]";
    };
    std::string text = "{\n  \"peft_type\": \"LORA\"";
    const auto set = [&](const char* key, const std::string& value) {
      text += ",\n  \"" + std::string(key) + "\": " + value;
    };
    set("task_type", "\"CAUSAL_LM\"");
    set("auto_mapping", "null");
    set("base_model_name_or_path", base_name.empty() ? "null" : json_string(base_name));
    set("inference_mode", "true");
    set("r", std::to_string(rank));
    set("lora_alpha", short_number(alpha));
    set("lora_dropout", short_number(dropout()));
    set("rank_pattern", "{" + ranks + "}");
    set("alpha_pattern", "{" + alphas + "}");
    set("use_rslora", "false");
    set("use_dora", dora_ ? "true" : "false");
    set("target_modules", targets.empty() ? "[]" : list(targets));
    set("target_parameters", list(parameters));
    set("modules_to_save", list(saved_));
    set("bias", "\"none\"");
    set("fan_in_fan_out", "false");
    set("init_lora_weights", "true");
    return text + "\n}\n";
  }

  /// peft has one for all modules, and none beside a bare parameter.
  double dropout() const {
    if (a_log_) return 0.0;
    std::optional<double> common;
    for (const auto& [site, policy] : policies_) {
      if (!is_lora(policy) && policy != "dora") continue;
      const double found = model_.options().number("dropout", 0.0, site);
      if (common && *common != found) return 0.0;
      common = found;
    }
    return common.value_or(0.0);
  }

  const Model& model_;
  MambaDimensions m_;
  std::shared_ptr<const typename Model::base_type> base_;  // where values are read: no int8 in there
  HostCopy<T, typename Model::device_type> values_;
  std::map<std::string, std::string> policies_;  // by site
  bool dora_ = false, a_log_ = false;
  std::vector<ExportedModule> modules_;
  std::vector<Tensor> tensors_;
  std::set<std::string> saved_;
};

}  // namespace detail

/// The sites of a model whose adapters peft's format cannot hold, each with the way out.
template <class Model>
std::vector<PeftObstacle> peft_obstacles(const Model& model) {
  return detail::PeftExport<Model>(model).obstacles();
}

/// Writes what a model has learned as an adapter that peft loads: adapter_config.json and
/// adapter_model.safetensors in `directory`, which is made where missing; `base_name` is what it says of the
/// base, a path or a name on a hub. The rewrites are exact: LoRAs of in_proj_x and in_proj_z become one of
/// their ranks together, selected dimensions LoRAs that pick their channels, PiSSA one of twice
/// the rank, a change of A_log a factor of
/// rank N, values that learn as a whole modules to save. Throws ArgumentError, with all of `peft_obstacles`,
/// and then writes nothing; FileError; Error where a value is not finite.
template <class Model>
void save_peft_adapter(const Model& model, const std::filesystem::path& directory,
                       const std::string& base_name = "") {
  detail::PeftExport<Model>(model).save(directory, base_name);
}

}  // namespace sdlora
