#pragma once

#include "../model/mamba_model.hpp"
#include "any_model.hpp"
#include "select_dimensions.hpp"
#include "trainer.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// What any_model.hpp declares, to be compiled once for each named placement.

namespace sdlora {
namespace detail {

/// AnyModel of one named placement.
template <NamedPlacement N, Config C, class X>
class ModelOf final : public AnyModel<C, X> {
  using P = typename N::placement;
  using Any = AnyModel<C, X>;
  using T = typename Any::value_type;
  using D = typename Any::device_type;

 public:
  using Model = MambaModel<C, P, X>;
  using typename Any::base_type;
  using typename Any::state_type;

  explicit ModelOf(Model model) : model_(std::move(model)) {}

  std::string name() const override { return std::string(N::name); }
  std::string placement() const override { return model_.placement(); }
  const MambaDimensions& dimensions() const override { return model_.dimensions(); }
  const std::shared_ptr<const base_type>& base() const override { return model_.base(); }
  const AdapterOptions& options() const override { return model_.options(); }
  const Selection& selection() const override { return model_.selection(); }
  ParameterStore<T, D>& parameters() override { return model_.parameters(); }
  const ParameterStore<T, D>& parameters() const override { return model_.parameters(); }
  std::size_t total_parameters() const override { return model_.total_parameters(); }
  Loss loss(const Batch& batch) const override { return model_.loss(batch); }
  Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass) override {
    if constexpr (P::learns) {
      return model_.accumulate_gradients(batch, scale, pass);
    } else {
      throw ArgumentError("placement " + name() + ": trains nothing; choose another");
    }
  }
  state_type initial_state(std::size_t sequences) const override { return model_.initial_state(sequences); }
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
               MatrixView<T, D> logits) const override {
    model_.forward(ids, sequences, state, logits);
  }
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                    std::span<const std::size_t> rows, MatrixView<T, D> logits) const override {
    model_.forward_rows(ids, sequences, state, rows, logits);
  }
  void step(std::span<const std::int32_t> ids, state_type& state, MatrixView<T, D> logits) const override {
    model_.step(ids, state, logits);
  }
  std::shared_ptr<const base_type> merged() const override {
    if constexpr (P::mergeable) {
      return model_.merged();
    } else {
      throw ArgumentError(
          "placement " + name() +
          ": what it learns (a prompt, a prefix, an initial state or a state offset) has no place "
          "among a checkpoint's weights and cannot be merged; keep it as an adapter");
    }
  }

 private:
  Model model_;
};

/// The first phase of a named placement.
template <NamedPlacement N>
struct FirstPhaseOf {
  static constexpr std::string_view name = N::name;
  static constexpr std::string_view description = N::description;
  using placement = SelectionPhase<typename N::placement>;
};

}  // namespace detail

template <NamedPlacement N, Config C, class X>
std::unique_ptr<AnyModel<C, X>> ModelMaker<N, C, X>::make(base_pointer base, const Selection& selection,
                                                          const AdapterOptions& options) {
  using Of = detail::ModelOf<N, C, X>;
  constexpr bool selects = N::placement::selects;
  return std::make_unique<Of>(
      typename Of::Model(std::move(base), selects ? selection : Selection{}, options));
}

template <NamedPlacement N, Config C, class X>
Selection ModelMaker<N, C, X>::select([[maybe_unused]] base_pointer base,
                                      [[maybe_unused]] std::span<const Example> data,
                                      [[maybe_unused]] const SelectionOptions& options) {
  using P = typename N::placement;
  if constexpr (detail::selected_channels<typename P::template policy_at<site::ALog>> != 0) {
    // As select_dimensions, but trained as any model is: a trainer is compiled once for all placements.
    using Phase = detail::ModelOf<detail::FirstPhaseOf<N>, C, X>;
    const MambaDimensions& m = detail::required_base(base).dimensions();
    Phase phase(typename Phase::Model(base, detail::first_phase_options<P>(m, options)));
    model_type& model = phase;
    return detail::dimensions_by(model, *base, data, options, detail::selected_sizes<P>(m, options),
                                 SquaredChange{});
  } else {
    throw ArgumentError("placement '" + std::string(N::name) + "' selects no dimensions");
  }
}

}  // namespace sdlora
