#pragma once

#include "../../adapters/parameter_store.hpp"
#include "../../model/mamba_model.hpp"
#include "peft_change.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora::detail {

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
                       "cannot do; give the adapter's directory to sdlora generate or score as it is");
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
        "changes the head, which no placement trains; give the adapter's directory to sdlora generate, "
        "score or merge as it is");
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
            tensor,
            "expected a placement with " + std::string(kind) + " at " +
                (part.site.empty() ? target.key : std::string(part.site)) + ", found " +
                in_quotes(placement_) +
                "; choose a placement that covers the adapter, or give its directory to sdlora generate, "
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

}  // namespace sdlora::detail
