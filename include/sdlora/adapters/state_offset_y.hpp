#pragma once

#include "../tensor/column_sums.hpp"
#include "policy.hpp"
#include "scan_inputs.hpp"

#include <cstddef>

namespace sdlora {

/// State-offset tuning of y (Kang et al., arXiv 2503.03499): y += silu(z) ∘ y', y' (1, E) learned, at first
/// zero. The same offset for every token, whatever its C.
struct StateOffsetY : PolicyDefaults {
  static constexpr std::string_view name = "state_offset_y";
  static constexpr bool mergeable = false;
  static constexpr ScanReads reads{};
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.rows; }

  /// What a model keeps of it at the scan (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Scan {
   public:
    Scan(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (place.active) offset_ = store.add(place, ".offset", 1, place.rows(), {.decay = false});
    }
    bool active() const { return static_cast<bool>(offset_); }

    /// y (M, E) += y'.
    void add(const ScanInputs<const T, D>&, MatrixView<T, D> y, WorkspaceOn<D>&) const {
      assign<AssignMode::Add>(y, offset_.value);
    }
    void backward(const ScanInputs<const T, D>&, MatrixView<const T, D> d_y, const ScanInputs<T, D>&,
                  WorkspaceOn<D>&) const {
      assign_column_sums<AssignMode::Add>(offset_.gradient, d_y);
    }

   private:
    Learned<T, D> offset_;
  };
};

static_assert(AdapterPolicy<StateOffsetY>);

}  // namespace sdlora
