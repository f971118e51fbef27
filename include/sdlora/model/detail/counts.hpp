#pragma once

#include "../../adapters/options.hpp"
#include "../../adapters/parameter_store.hpp"
#include "../../adapters/place.hpp"
#include "../../error.hpp"
#include "../../layers/mamba/config.hpp"
#include "../../text.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sdlora::detail {

/// `trainable_parameters`: a constant where the types know every size, else a member. The constant
/// counts every layer. Layer ranges are options of a model and so narrow the member only; what a
/// model's parameters() hold is exact either way.
template <Config C, Placement P, bool Static = is_static(C::config) && P::is_static>
struct TrainableCount {
  static constexpr std::size_t trainable_parameters = sdlora::trainable_parameters<P>(dimensions(C::config));
  explicit TrainableCount(std::size_t) {}
};
template <Config C, Placement P>
struct TrainableCount<C, P, false> {
  std::size_t trainable_parameters;
  explicit TrainableCount(std::size_t count) : trainable_parameters(count) {}
};

/// How many values learn under P with these options, layer ranges included.
template <Placement P>
std::size_t count_learned(const MambaDimensions& m, const AdapterOptions& options) {
  return count_active<P>(MambaLayerSites{}, m, options) + count_sites<P>(MambaModelSites{}, m, &options);
}

/// The same. Throws ArgumentError where there are more than the options allow.
template <Placement P>
std::size_t checked_count(const MambaDimensions& m, const AdapterOptions& options) {
  const std::size_t count = count_learned<P>(m, options);
  if (count > options.most_values) {
    throw ArgumentError("MambaModel: the options ask for " + std::to_string(count) +
                        " values to learn, there are " + std::to_string(options.most_values) +
                        "; correct the sizes among the options");
  }
  return count;
}

/// Throws ShapeError where a store has another number of values at a site than the site's policy counts.
inline void require_count(const std::vector<ParameterInfo>& entries, std::string_view site,
                          std::string_view policy, std::size_t expected) {
  std::size_t found = 0;
  for (const ParameterInfo& entry : entries) found += entry.site == site ? entry.size() : 0;
  if (found == expected) return;
  throw ShapeError("MambaModel: site " + std::string(site) + ": expected " + std::to_string(expected) +
                   " values to learn as policy " + std::string(policy) + " counts, found " +
                   std::to_string(found) + " in the store; correct its count() or what its state adds");
}

/// The same for all sites of P, where the policies' states have added fewer values to the store than
/// their count() says. More than it says are refused by the store itself.
template <Placement P, class T, class D>
void require_counts(const MambaDimensions& m, const AdapterOptions& options,
                    const ParameterStore<T, D>& store) {
  if (store.size() == store.capacity()) return;
  const auto require = [&]<class S>(S, std::size_t times) {
    using Policy = typename P::template policy_at<S>;
    require_count(store.entries(), S::name, Policy::name, times * count_at<S, Policy>(m, &options));
  };
  [&]<class... Sites>(SiteList<Sites...>) {
    (require(Sites{}, active_layers(options, Sites::name, m.n_layer)), ...);
  }(MambaLayerSites{});
  [&]<class... Sites>(SiteList<Sites...>) { (require(Sites{}, 1), ...); }(MambaModelSites{});
}

/// Calls f(site, policy) for every site of P where something learns.
template <Placement P, class Function>
void each_learning_site(const Function& f) {
  const auto at = [&]<class S>(S) {
    if constexpr (P::template learns_at<S>) f(S{}, typename P::template policy_at<S>{});
  };
  [&]<class... Sites>(SiteList<Sites...>) { (at(Sites{}), ...); }(MambaLayerSites{});
  [&]<class... Sites>(SiteList<Sites...>) { (at(Sites{}), ...); }(MambaModelSites{});
}

/// Throws ArgumentError where options are said for a site that has no use for them.
template <Placement P>
void require_used(const AdapterOptions& options) {
  for (const AdapterOptions::Value& value : options.values()) {
    if (value.site.empty()) continue;
    bool used = false;
    each_learning_site<P>([&]<class S, class Policy>(S, Policy) {
      typename Policy::options usual;
      Policy::options::visit(usual, [&](const Setting& setting, const auto&) {
        used = used || (value.site == S::name && value.name == setting.name &&
                        (value.of.empty() || value.of == Policy::options::name));
      });
    });
    if (used) continue;
    throw ArgumentError("MambaModel: the options say " + value.name + " for site '" + value.site +
                        "', where this placement has no policy with such an option; name a site that has");
  }
}

/// The options as they take effect under P: with the sizes that its types and the sites decide. What is the
/// same at all sites stands there once, what is the default not at all. `without_effect` gets what is said
/// for all sites and changes nothing, as "lora rank = 16": where no policy has such an option, or types say
/// another number. Throws as `require_used`.
template <Placement P>
AdapterOptions completed(const AdapterOptions& given, const MambaDimensions& m,
                         std::vector<std::string>* without_effect = nullptr) {
  require_used<P>(given);
  struct Found {
    std::string site, of, name;
    double number, usual;
  };
  std::vector<Found> found;
  each_learning_site<P>([&]<class S, class Policy>(S, Policy) {
    using Options = typename Policy::options;
    Options usual;
    auto here = resolved<Policy>(given.of<Options>(S::name), site_info<S>(m));
    Options::visit(here, [&](const Setting& setting, const auto& value) {
      Options::visit(usual, [&](const Setting& other, const auto& otherwise) {
        if (setting.name != other.name) return;
        found.push_back({std::string(S::name), std::string(Options::name), std::string(setting.name),
                         static_cast<double>(value), static_cast<double>(otherwise)});
      });
    });
  });
  for (const AdapterOptions::Value& value : given.values()) {
    const auto goes_by_it = [&](const Found& one) {  // 0 leaves a size open, which is then another number
      return one.name == value.name && (value.of.empty() || value.of == one.of) &&
             (one.number == value.number || value.number == 0.0);
    };
    if (without_effect == nullptr || !value.site.empty()) continue;
    if (std::any_of(found.begin(), found.end(), goes_by_it)) continue;
    without_effect->push_back(value.of + (value.of.empty() ? "" : " ") + value.name + " = " +
                              short_number(value.number));
  }
  AdapterOptions result;
  result.layers = given.layers;
  result.seed = given.seed;
  result.most_values = given.most_values;
  for (const Found& one : found) {
    const auto same = [&](const Found& other) {
      return other.name != one.name || other.number == one.number;
    };
    const bool everywhere = std::all_of(found.begin(), found.end(), same);
    const double common = everywhere ? one.number : given.number(one.name, one.usual);
    if (common != one.usual) result.set(one.name, common);
    if (one.number != common) result.set(one.name, one.number, one.site);
  }
  return result;
}

}  // namespace sdlora::detail
