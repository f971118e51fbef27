#pragma once

#include "../adapters/options.hpp"
#include "selection_criterion.hpp"
#include "settings.hpp"
#include "trainer_options.hpp"

#include <cstddef>
#include <cstdint>
#include <ostream>

namespace sdlora {

/// Settings of SDLoRA's first phase.
struct SelectionOptions {
  SelectionCriterion criterion = SelectionCriterion::Change;
  std::size_t steps = 500;  ///< of training; a criterion that does not train reads at most as many batches
  std::size_t epochs = 0;   ///< passes over the data instead, where steps is 0
  double learning_rate = 1e-3;
  std::size_t batch_size = 4;
  std::size_t accumulation = 1;
  double weight_decay = 0.0;
  double clip = 1.0;
  std::size_t warm_up_steps = 0;
  std::uint64_t seed = 0;
  AdapterOptions adapters = {};  ///< of the placement: sizes that its type leaves open, layers, …
  bool progress = true;
  std::ostream* output = nullptr;  ///< of the progress; null: standard error

  /// For the Trainer that makes the phase.
  TrainerOptions trainer_options() const {
    TrainerOptions options;
    copy_settings(*this, options);
    options.epochs = epochs;
    options.progress = progress;
    options.output = output;
    options.label = "selection";
    return options;
  }
};

}  // namespace sdlora
