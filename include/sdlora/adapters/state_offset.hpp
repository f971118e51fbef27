#pragma once

#include "policy.hpp"
#include "scan_inputs.hpp"

namespace sdlora {

/// State-offset tuning of h (Kang et al., arXiv 2503.03499): y += silu(z) ∘ (C·h'), h' (E, N) learned, at
/// first zero. It joins the output of every token and does not enter the recurrence.
struct StateOffset : PolicyDefaults {
  static constexpr std::string_view name = "state_offset";
  static constexpr bool mergeable = false;
  static constexpr ScanReads reads{.C = true};
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.size(); }

  /// What a model keeps of it at the scan (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Scan {
   public:
    Scan(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (place.active) offset_ = store.add(place, ".offset", place.rows(), place.cols(), {.decay = false});
    }
    bool active() const { return static_cast<bool>(offset_); }

    /// y (M, E) += C·h'ᵀ.
    void add(const ScanInputs<const T, D>& in, MatrixView<T, D> y, WorkspaceOn<D>&) const {
      matmul(y, in.C, transposed(offset_.value), Write::Add);
    }
    void backward(const ScanInputs<const T, D>& in, MatrixView<const T, D> d_y, const ScanInputs<T, D>& d_in,
                  WorkspaceOn<D>&) const {
      matmul(offset_.gradient, transposed(d_y), in.C, Write::Add);
      if (d_in.C) matmul(d_in.C, d_y, offset_.value, Write::Add);
    }

   private:
    Learned<T, D> offset_;
  };
};

static_assert(AdapterPolicy<StateOffset>);

}  // namespace sdlora
