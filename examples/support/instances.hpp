#pragma once

#include <sdlora/model/base.hpp>

#include "model_instances.hpp"

// What the programs' presets share, compiled once for all of them (instances.cpp).

namespace sdlora {

#ifndef SDLORA_EXAMPLES_INSTANCE
#define SDLORA_EXAMPLES_INSTANCE extern template
#endif

namespace examples {
/// The gradients of a frozen SSM that only passes its gradient on.
inline constexpr SelectiveScanGradients activations{.u = true, .dt = true, .B = true, .C = true, .z = true};
}  // namespace examples

SDLORA_MODEL_INSTANCES(SDLORA_EXAMPLES_INSTANCE, float)
SDLORA_SIZED_INSTANCES(SDLORA_EXAMPLES_INSTANCE, float, dyn, dyn)
SDLORA_EXAMPLES_INSTANCE class Base<presets::AnyMamba, float, Cpu>;
SDLORA_EXAMPLES_INSTANCE class ParameterStore<float, Cpu>;
SDLORA_EXAMPLES_INSTANCE void rms_norm_backward<float, Cpu>(MatrixView<const float>, float,
                                                            MatrixView<float>);
SDLORA_EXAMPLES_INSTANCE void selective_scan_backward<dyn, examples::activations, float>(
    const SelectiveScanInputs<float>&, const float*, MatrixView<const float>, MatrixView<const float>,
    const SelectiveScanGradientOutputs<float>&, Workspace&);

}  // namespace sdlora
