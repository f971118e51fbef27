#pragma once

#include "../../adapters/policy.hpp"
#include "../../tensor/evaluate.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/workspace.hpp"

#include <cstddef>

namespace sdlora::detail {

/// Whether an Element state forms its values in each pass, from what learns.
template <class State>
inline constexpr bool forms_values = requires { &State::add_gradient; };

/// The values at an element-wise site; from the workspace where the state forms them.
template <class State, class D>
auto values_of(const State& state, WorkspaceOn<D>& workspace) {
  if constexpr (forms_values<State>) {
    return state.values(workspace);
  } else {
    return state.values();
  }
}

/// Where a layer adds the gradient of a site's values: that of the state, or zeros (rows, cols) from the
/// workspace, which `finish` gives to the state. Empty where nothing learns.
template <class T, class D>
class ElementGradient {
 public:
  template <class State>
  ElementGradient(const State& state, std::size_t rows, std::size_t cols, WorkspaceOn<D>& workspace) {
    if (!state.active()) return;
    if constexpr (forms_values<State>) {
      values_ = workspace.template matrix<T>(rows, cols);
      assign(values_, 0);
    } else {
      values_ = state.gradient();
    }
  }
  MatrixView<T, D> values() const { return values_; }

  template <class State>
  void finish(const State& state, WorkspaceOn<D>& workspace) const {
    if constexpr (forms_values<State>) {
      if (state.active()) state.add_gradient(values_, workspace);
    }
  }

 private:
  MatrixView<T, D> values_{};
};

}  // namespace sdlora::detail
