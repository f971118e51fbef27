#pragma once

#include "policy.hpp"

#include <cstddef>

namespace sdlora {

/// What ScaledState leaves open.
struct ScaledStateOptions {
  static constexpr std::string_view name = "scaled_state";

  double state_scale = 0.65;  ///< the published one for Falcon-H1; 0.07 for gated delta rules

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "state_scale",
                  .help = "the initial state is what learns, times this",
                  .expected = "a scale above 0",
                  .good = detail::is_positive},
          self.state_scale);
  }
};

/// S0 tuning (arXiv 2604.01168): an initial state state_scale · s, s of the site's shape learned, at first
/// zero. Unlike `Full` at a state, weight decay acts on s, as the published penalty of its squares does (5e-4
/// there, with a learning rate of 1e-3 and 20 steps).
struct ScaledState : PolicyDefaults {
  static constexpr std::string_view name = "scaled_state";
  static constexpr bool mergeable = false;
  template <class S>
  static constexpr bool sits_at = S::kind == SiteKind::State;
  using options = ScaledStateOptions;
  static constexpr std::size_t count(SiteInfo site, options) { return site.shape.size(); }

  /// What a model keeps of it at a state (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (!place.active) return;
      scale_ = static_cast<T>(options_of<ScaledState>(place).state_scale);
      state_ = store.add(place, ".state", place.rows(), place.cols(), {.decay = true});
    }
    bool active() const { return static_cast<bool>(state_); }
    MatrixView<const T, D> values(WorkspaceOn<D>& workspace) const {
      if (!active()) return {};
      const MatrixView<T, D> values = workspace.template matrix<T>(state_.value.rows, state_.value.cols);
      assign(values, scale_ * state_.value);
      return values;
    }
    void add_gradient(MatrixView<const T, D> d_values, WorkspaceOn<D>&) const {
      assign<AssignMode::Add>(state_.gradient, scale_ * d_values);
    }
    void add_change(MatrixView<T, D> target, T sign) const {
      if (active()) assign<AssignMode::Add>(target, (sign * scale_) * state_.value);
    }

   private:
    Learned<T, D> state_;
    T scale_ = T(1);
  };
};

static_assert(AdapterPolicy<ScaledState>);

}  // namespace sdlora
