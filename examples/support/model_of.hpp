#pragma once

#include <sdlora/adapters/describe.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <utility>

#include "any_model.hpp"
#include "instances.hpp"

namespace sdlora::examples {

/// What the table of placements knows of one preset.
struct PlacementEntry {
  PlacementChoice choice;
  std::unique_ptr<AnyModel> (*make)(AnyBasePointer, const Selection&, const AdapterOptions&);
  /// Null where the preset selects nothing.
  Selection (*select)(AnyBasePointer, std::span<const Example>, const SelectionOptions&) = nullptr;
};

/// AnyModel of one preset.
template <class P>
class ModelOf final : public AnyModel {
 public:
  using Model = MambaModel<presets::AnyMamba, P, float>;

  ModelOf(std::string name, Model model) : name_(std::move(name)), model_(std::move(model)) {}

  std::string name() const override { return name_; }
  std::string placement() const override { return model_.placement(); }
  const MambaDimensions& dimensions() const override { return model_.dimensions(); }
  const AnyBasePointer& base() const override { return model_.base(); }
  const AdapterOptions& options() const override { return model_.options(); }
  const Selection& selection() const override { return model_.selection(); }
  ParameterStore<float>& parameters() override { return model_.parameters(); }
  const ParameterStore<float>& parameters() const override { return model_.parameters(); }
  std::size_t total_parameters() const override { return model_.total_parameters(); }
  Loss loss(const Batch& batch) const override { return model_.loss(batch); }
  Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass) override {
    if constexpr (P::learns) {
      return model_.accumulate_gradients(batch, scale, pass);
    } else {
      throw ArgumentError("placement " + name_ + ": trains nothing; choose another");
    }
  }
  state_type initial_state(std::size_t sequences) const override { return model_.initial_state(sequences); }
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
               MatrixView<float> logits) const override {
    model_.forward(ids, sequences, state, logits);
  }
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                    std::span<const std::size_t> rows, MatrixView<float> logits) const override {
    model_.forward_rows(ids, sequences, state, rows, logits);
  }
  void step(std::span<const std::int32_t> ids, state_type& state, MatrixView<float> logits) const override {
    model_.step(ids, state, logits);
  }
  AnyBasePointer merged() const override {
    if constexpr (P::mergeable) {
      return model_.merged();
    } else {
      throw ArgumentError("placement " + name_ +
                          ": what it learns (a prompt, a prefix or an initial state) has no place among a "
                          "checkpoint's weights and cannot be merged; keep it as an adapter");
    }
  }

 private:
  std::string name_;
  Model model_;
};

/// The table's entry of preset P. Each preset is instantiated in a translation unit of its own, so
/// that they compile beside one another and once for all programs.
template <class P, const char* Name>
PlacementEntry entry_of(const char* description) {
  using Model = typename ModelOf<P>::Model;
  return {{Name, description, P::selects, describe<P>()},
          [](AnyBasePointer base, const Selection& selection, const AdapterOptions& options) {
            return std::unique_ptr<AnyModel>(
                std::make_unique<ModelOf<P>>(Name, Model(std::move(base), selection, options)));
          }};
}

}  // namespace sdlora::examples
