#pragma once

#include "../../adapters/options.hpp"
#include "../../adapters/parameter_store.hpp"
#include "../../adapters/place.hpp"
#include "../../error.hpp"
#include "../../layers/mamba_config.hpp"

#include <cstddef>
#include <string>

namespace sdlora::detail {

/// Throws ShapeError where the policies' states have added fewer values to the store than their
/// count() says. More than it says are refused by the store itself.
template <Placement P, class T>
void require_counts(const MambaDimensions& m, const AdapterSizes& sizes, const AdapterOptions& options,
                    const ParameterStore<T>& store) {
  if (store.size() == store.capacity()) return;
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
