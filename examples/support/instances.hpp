#pragma once

#include <sdlora/model/base.hpp>
#include <sdlora/training/any_model.hpp>
#include <sdlora/training/trainer.hpp>

#include "model_instances.hpp"

// What the programs' presets share, compiled once for all of them (instances.cpp).

namespace sdlora {

namespace examples {
/// The gradients of a frozen SSM that only passes its gradient on.
inline constexpr SelectiveScanGradients activations{.u = true, .dt = true, .B = true, .C = true, .z = true};
/// The same where selected channels of A_log learn, or all.
inline constexpr SelectiveScanGradients with_selected_A{
    .u = true, .dt = true, .B = true, .C = true, .z = true, .A = AGradient::SelectedChannels};
inline constexpr SelectiveScanGradients with_A{
    .u = true, .dt = true, .B = true, .C = true, .z = true, .A = AGradient::All};
}  // namespace examples

// KIND: `extern template` here, `template` in instances.cpp.
#define SDLORA_EXAMPLES_INSTANCES(KIND)                                                                  \
  SDLORA_MODEL_INSTANCES(KIND, float)                                                                    \
  SDLORA_SIZED_INSTANCES(KIND, float, dyn, dyn)                                                          \
  KIND class Base<presets::AnyMamba, float, Cpu>;                                                        \
  KIND class ParameterStore<float, Cpu>;                                                                 \
  KIND class Trainer<AnyModel<>>;                                                                        \
  KIND void rms_norm_backward<float, Cpu>(MatrixView<const float>, float, MatrixView<float>);            \
  KIND void selective_scan_backward<dyn, examples::activations, float>(                                  \
      const SelectiveScanInputs<float>&, const float*, MatrixView<const float>, MatrixView<const float>, \
      const SelectiveScanGradientOutputs<float>&, Workspace&);                                           \
  KIND void selective_scan_backward<dyn, examples::with_selected_A, float>(                              \
      const SelectiveScanInputs<float>&, const float*, MatrixView<const float>, MatrixView<const float>, \
      const SelectiveScanGradientOutputs<float>&, Workspace&);                                           \
  KIND void selective_scan_backward<dyn, examples::with_A, float>(                                       \
      const SelectiveScanInputs<float>&, const float*, MatrixView<const float>, MatrixView<const float>, \
      const SelectiveScanGradientOutputs<float>&, Workspace&)

SDLORA_EXAMPLES_INSTANCES(extern template);

}  // namespace sdlora
