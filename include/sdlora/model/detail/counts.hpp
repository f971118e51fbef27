#pragma once

#include "../../adapters/options.hpp"
#include "../../adapters/parameter_store.hpp"
#include "../../adapters/place.hpp"
#include "../../error.hpp"
#include "../../layers/mamba/config.hpp"

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
  const AdapterSizes sizes = adapter_sizes(options, m);
  return count_active<P>(MambaLayerSites{}, m, sizes, options) + count_sites<P>(MambaModelSites{}, m, sizes);
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
  const AdapterSizes sizes = adapter_sizes(options, m);
  const auto require = [&]<class S>(S, std::size_t times) {
    using Policy = typename P::template policy_at<S>;
    require_count(store.entries(), S::name, Policy::name, times * count_at<S, Policy>(m, sizes));
  };
  [&]<class... Sites>(SiteList<Sites...>) {
    (require(Sites{}, active_layers(options, Sites::name, m.n_layer)), ...);
  }(MambaLayerSites{});
  [&]<class... Sites>(SiteList<Sites...>) { (require(Sites{}, 1), ...); }(MambaModelSites{});
}

}  // namespace sdlora::detail
