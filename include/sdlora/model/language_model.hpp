#pragma once

#include "../adapters/options.hpp"
#include "../adapters/parameter_store.hpp"
#include "../adapters/policy.hpp"
#include "../adapters/selection.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/sequences.hpp"
#include "batch.hpp"
#include "loss.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

/// The recurrent state of some sequences, as generation and scoring carry it: made of a model's dimensions
/// and a number of sequences; `gather(other, from)` takes sequence from[s] of another; `value_row()` is all
/// of it.
template <class S, class Dimensions>
concept SequenceState = std::constructible_from<S, const Dimensions&, std::size_t> &&
                        requires(S& state, const S& other, std::span<const std::size_t> from) {
                          { other.sequences() } -> std::convertible_to<std::size_t>;
                          state.gather(other, from);
                          { other.value_row().cols } -> std::convertible_to<std::size_t>;
                        };

/// What evaluation, scoring and generation ask of a model, whatever it is made of. All calls are const:
///   dimensions().vocab_size                             V
///   loss(batch)                                         Σ loss over the batch's targets
///   initial_state(S)                                    the state before the first token of S sequences
///   forward(ids, sequences, state, logits)              reads on; the logits (M, V) behind every token
///   forward_rows(ids, sequences, state, rows, logits)   the same for some rows (n, V)
///   step(ids, state, logits)                            one token of each sequence (S, V)
/// MambaModel and AnyModel are such models.
template <class M>
concept LanguageModel =
    requires {
      typename M::value_type;
      typename M::device_type;
      typename M::state_type;
    } &&
    requires(const M& model, const Batch& batch, std::span<const std::int32_t> ids,
             const Sequences& sequences, typename M::state_type& state, std::span<const std::size_t> rows,
             MatrixView<typename M::value_type, typename M::device_type> logits) {
      { model.dimensions().vocab_size } -> std::convertible_to<std::size_t>;
      { model.loss(batch) } -> std::same_as<Loss>;
      { model.initial_state(std::size_t{}) } -> std::same_as<typename M::state_type>;
      model.forward(ids, sequences, state, logits);
      model.forward_rows(ids, sequences, state, rows, logits);
      model.step(ids, state, logits);
      requires SequenceState<typename M::state_type, std::remove_cvref_t<decltype(model.dimensions())>>;
    };

/// What Trainer and adapter files ask beside that:
///   parameters()                                        the ParameterStore of all that learns
///   accumulate_gradients(batch, scale, pass)            adds those of scale · Σ loss to it; returns the loss
///   base(), placement(), options(), selection()         what the run is told apart from others by
template <class M>
concept TrainableModel =
    LanguageModel<M> && requires(M& model, const M& same, const Batch& batch, const Pass& pass) {
      {
        model.parameters()
      } -> std::same_as<ParameterStore<typename M::value_type, typename M::device_type>&>;
      {
        same.parameters()
      } -> std::same_as<const ParameterStore<typename M::value_type, typename M::device_type>&>;
      { model.accumulate_gradients(batch, double{}, pass) } -> std::same_as<Loss>;
      *same.base();
      { same.placement() } -> std::convertible_to<std::string>;
      { same.options() } -> std::convertible_to<const AdapterOptions&>;
      { same.selection() } -> std::convertible_to<const Selection&>;
    };

/// Whether anything may learn in a model of this type: false where its placement says that nothing does.
template <class M>
inline constexpr bool may_learn = [] {
  if constexpr (requires { M::placement_type::learns; }) {
    return bool(M::placement_type::learns);
  } else {
    return true;
  }
}();

}  // namespace sdlora
