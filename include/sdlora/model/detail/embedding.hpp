#pragma once

#include "../../adapters/policy.hpp"
#include "../../tensor/add_rows.hpp"
#include "../../tensor/frozen_weight.hpp"
#include "../../tensor/workspace.hpp"
#include "../cross_entropy.hpp"

#include <string_view>

namespace sdlora::detail {

/// The state of a policy at the embedding: its Embedding state, or an Element state whose rows are looked up.
template <class Policy, class T, class D, bool Own = has_embedding_state<Policy>>
class EmbeddingState : public Policy::template Embedding<T, D> {
 public:
  using Policy::template Embedding<T, D>::Embedding;
  /// Where a tied head adds its weight's gradient as a whole; empty: nowhere.
  static constexpr MatrixView<T, D> weight_gradient() { return {}; }
};

template <class Policy, class T, class D>
class EmbeddingState<Policy, T, D, false> : public Policy::template Element<T, D> {
  using View = MatrixView<const T, D>;
  using Matrix = MatrixView<T, D>;

 public:
  EmbeddingState(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
      : Policy::template Element<T, D>(store, place), base_(place.base) {}
  FrozenWeight<T, D> weight() const { return this->active() ? FrozenWeight<T, D>(this->values()) : base_; }
  Matrix weight_gradient() const { return this->gradient(); }

  template <class Index>
  void lookup(MatrixView<const Index, D> ids, Matrix x, WorkspaceOn<D>&) const {
    look_up(x, weight(), ids);
  }
  template <class Index>
  void lookup_backward(MatrixView<const Index, D> ids, View d_x, WorkspaceOn<D>&) const {
    if (this->active()) add_rows(this->gradient(), d_x, ids);
  }

 private:
  FrozenWeight<T, D> base_;
};

/// What a tied head does beside its product with the embedding's weight, in one pass.
template <class State>
struct TiedHead {
  const State& state;
  Pass pass;
  bool tied;

  template <class T, class D>
  void forward(MatrixView<const T, D> h, MatrixView<T, D> logits, WorkspaceOn<D>& workspace) const {
    if (tied) state.forward(h, logits, pass, workspace);
  }
  template <class T, class D>
  void backward(MatrixView<const T, D> h, MatrixView<const T, D> d_logits, MatrixView<T, D> d_h,
                WorkspaceOn<D>& workspace) const {
    if (tied) state.backward(h, d_logits, d_h, pass, workspace);
  }
};
template <class State>
auto tied_head(const State& state, const Pass& pass, bool tied) {
  if constexpr (requires { &State::forward; }) {
    return TiedHead<State>{state, pass, tied};
  } else {
    return PlainHead{};
  }
}

/// Throws ArgumentError where what the embedding learns cannot be merged into a base of these dimensions.
template <class State>
void require_mergeable_embedding(const State& state, bool tied_head) {
  if constexpr (requires { state.unmergeable_if_tied(); }) {
    if (const std::string_view why = state.unmergeable_if_tied(); tied_head && !why.empty()) {
      throw ArgumentError("MambaModel: cannot be merged: " + std::string(why) +
                          ", so that no one matrix is both; keep it as an adapter");
    }
  }
}

}  // namespace sdlora::detail
