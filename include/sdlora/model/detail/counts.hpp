#pragma once

#include "../../adapters/options.hpp"
#include "../../adapters/parameter_store.hpp"
#include "../../adapters/place.hpp"
#include "../../error.hpp"
#include "../../layers/mamba_config.hpp"

#include <cstddef>
#include <string>

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

/// Throws ShapeError where the policies' states have added fewer values to the store than their
/// count() says. More than it says are refused by the store itself.
template <Placement P, class T>
void require_counts(const MambaDimensions& m, const AdapterOptions& options, const ParameterStore<T>& store) {
  if (store.size() == store.capacity()) return;
  const AdapterSizes sizes = adapter_sizes(options, m);
  const auto check = [&]<class S>(S, std::size_t expected) {
    std::size_t found = 0;
    for (const ParameterInfo& entry : store.entries()) found += entry.site == S::name ? entry.size() : 0;
    if (found == expected) return;
    throw ShapeError("MambaModel: site " + std::string(S::name) + ": expected " + std::to_string(expected) +
                     " values to learn as policy " + std::string(P::template policy_at<S>::name) +
                     " counts, found " + std::to_string(found) +
                     " in the store; correct its count() or what its state adds");
  };
  [&]<class... Sites>(SiteList<Sites...>) {
    (check(Sites{}, count_active<P>(SiteList<Sites>{}, m, sizes, options)), ...);
  }(MambaLayerSites{});
  [&]<class... Sites>(SiteList<Sites...>) {
    (check(Sites{}, count_sites<P>(SiteList<Sites>{}, m, sizes)), ...);
  }(MambaModelSites{});
}

}  // namespace sdlora::detail
