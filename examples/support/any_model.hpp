#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <ostream>
#include <sdlora/adapters/options.hpp>
#include <sdlora/adapters/parameter_store.hpp>
#include <sdlora/adapters/selection.hpp>
#include <sdlora/model/base.hpp>
#include <sdlora/model/batch.hpp>
#include <sdlora/model/loss.hpp>
#include <sdlora/model/mamba_state.hpp>
#include <sdlora/training/selection_options.hpp>
#include <span>
#include <string>
#include <vector>

namespace sdlora::examples {

/// A base of any published size, in float.
using AnyBase = Base<presets::AnyMamba, float>;
using AnyBasePointer = std::shared_ptr<const AnyBase>;

/// A model whose placement is chosen by name at run time: what a command line needs. It stands where
/// a MambaModel stands (Trainer, evaluation, generation), each call one virtual call.
class AnyModel {
 public:
  using value_type = float;
  using device_type = Cpu;
  using base_type = AnyBase;
  using state_type = MambaState<float>;
  struct placement_type {
    static constexpr bool learns = true;
  };

  virtual ~AnyModel() = default;

  /// The preset's name on the command line, as "lora-linear".
  virtual std::string name() const = 0;
  /// The placement as adapter files hold it.
  virtual std::string placement() const = 0;
  virtual const MambaDimensions& dimensions() const = 0;
  virtual const AnyBasePointer& base() const = 0;
  virtual const AdapterOptions& options() const = 0;
  virtual const Selection& selection() const = 0;
  virtual ParameterStore<float>& parameters() = 0;
  virtual const ParameterStore<float>& parameters() const = 0;
  virtual std::size_t total_parameters() const = 0;
  virtual Loss loss(const Batch& batch) const = 0;
  virtual Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass) = 0;
  virtual state_type initial_state(std::size_t sequences) const = 0;
  virtual void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                       MatrixView<float> logits) const = 0;
  virtual void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                            std::span<const std::size_t> rows, MatrixView<float> logits) const = 0;
  virtual void step(std::span<const std::int32_t> ids, state_type& state, MatrixView<float> logits) const = 0;
  /// Throws ArgumentError, with the reason, where something learned has no place among the weights.
  virtual AnyBasePointer merged() const = 0;
};

/// The base of a checkpoint directory, as load_base reads it; compiled once for all programs.
AnyBasePointer load_any_base(const std::filesystem::path& directory);

/// One preset on the command line.
struct PlacementChoice {
  std::string name;         ///< as "lora-linear"
  std::string description;  ///< one line
  bool selects = false;     ///< it needs a Selection
  std::string placement;    ///< as adapter files hold it
};

/// All presets that can be named, "frozen" among them.
const std::vector<PlacementChoice>& placement_choices();

/// The choice of that name. Throws ArgumentError that lists the names.
const PlacementChoice& placement_choice(const std::string& name);

/// A fresh model of the preset `name`.
std::unique_ptr<AnyModel> make_model(const std::string& name, AnyBasePointer base, const Selection& selection,
                                     const AdapterOptions& options);

/// SDLoRA's first phase for the preset `name`, which must be one that selects.
Selection select_for(const std::string& name, AnyBasePointer base, std::span<const Example> data,
                     const SelectionOptions& options);

/// The model of an adapter directory, whichever preset it was trained with. FileError where it fits none.
std::unique_ptr<AnyModel> load_any_adapter(AnyBasePointer base, const std::filesystem::path& directory);

}  // namespace sdlora::examples
