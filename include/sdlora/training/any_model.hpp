#pragma once

#include "../adapters/options.hpp"
#include "../adapters/parameter_store.hpp"
#include "../adapters/place.hpp"
#include "../adapters/selection.hpp"
#include "../model/base.hpp"
#include "../model/batch.hpp"
#include "../model/execution.hpp"
#include "../model/language_model.hpp"
#include "../model/loss.hpp"
#include "../model/mamba_state.hpp"
#include "selection_options.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sdlora {

/// A model whose placement is chosen at run time: each call is one virtual call of a MambaModel on a base of
/// type C, run as X says. It stands where a MambaModel stands: Trainer, evaluation, generation, save_adapter.
template <Config C = presets::AnyMamba, class X = float>
class AnyModel {
  using T = typename run_of<X>::value_type;
  using D = typename run_of<X>::device_type;
  using Matrix = MatrixView<T, D>;

 public:
  using value_type = T;
  using device_type = D;
  using base_type = Base<C, T, D>;
  using state_type = MambaState<T, D>;

  AnyModel() = default;
  AnyModel(const AnyModel&) = delete;
  AnyModel& operator=(const AnyModel&) = delete;
  virtual ~AnyModel() = default;

  /// The name that it was chosen by.
  virtual std::string name() const = 0;
  /// The placement as adapter files hold it.
  virtual std::string placement() const = 0;
  virtual const MambaDimensions& dimensions() const = 0;
  virtual const std::shared_ptr<const base_type>& base() const = 0;
  virtual const AdapterOptions& options() const = 0;
  virtual const Selection& selection() const = 0;
  virtual ParameterStore<T, D>& parameters() = 0;
  virtual const ParameterStore<T, D>& parameters() const = 0;
  virtual std::size_t total_parameters() const = 0;
  virtual Loss loss(const Batch& batch) const = 0;
  /// Throws ArgumentError where the placement trains nothing.
  virtual Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass) = 0;
  virtual state_type initial_state(std::size_t sequences) const = 0;
  virtual void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                       Matrix logits) const = 0;
  virtual void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                            std::span<const std::size_t> rows, Matrix logits) const = 0;
  virtual void step(std::span<const std::int32_t> ids, state_type& state, Matrix logits) const = 0;
  /// Throws ArgumentError, with the reason, where something learned has no place among the weights.
  virtual std::shared_ptr<const base_type> merged() const = 0;
};

static_assert(TrainableModel<AnyModel<>>);

/// A placement with the name that a command line knows it by. An empty type, as
///   struct Biases {
///     static constexpr std::string_view name = "biases";
///     static constexpr std::string_view description = "every bias";  // one line
///     using placement = presets::BitFit;
///   };
template <class N>
concept NamedPlacement = requires {
  { N::name } -> std::convertible_to<std::string_view>;
  { N::description } -> std::convertible_to<std::string_view>;
  requires Placement<typename N::placement>;
};

/// How a model of one named placement is made. Its members are defined in model_maker.hpp. To compile each
/// placement once, in a source file of its own, declare it
///   extern template struct sdlora::ModelMaker<Biases>;
/// beside its name, and let one source file include model_maker.hpp and say the same without `extern`.
template <NamedPlacement N, Config C = presets::AnyMamba, class X = float>
struct ModelMaker {
  using model_type = AnyModel<C, X>;
  using base_pointer = std::shared_ptr<const typename model_type::base_type>;

  /// A fresh model. A selection is used where the placement selects.
  static std::unique_ptr<model_type> make(base_pointer base, const Selection& selection,
                                          const AdapterOptions& options);
  /// SDLoRA's first phase. Throws ArgumentError where the placement selects nothing.
  static Selection select(base_pointer base, std::span<const Example> data, const SelectionOptions& options);
};

}  // namespace sdlora
