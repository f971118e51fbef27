#pragma once

#include <sdlora/adapters/lora.hpp>
#include <sdlora/layers/conv1d.hpp>
#include <sdlora/layers/rms_norm.hpp>
#include <sdlora/model/cross_entropy.hpp>
#include <sdlora/scan/selective_scan.hpp>
#include <sdlora/tensor/matmul.hpp>

// What every preset's model is made of, compiled once for all of them (instances.cpp): a program with
// ten placements in it would otherwise compile the same kernels ten times.

namespace sdlora {

#ifndef SDLORA_EXAMPLES_INSTANCE
#define SDLORA_EXAMPLES_INSTANCE extern template
#endif

namespace examples {
/// The gradients of a frozen SSM that only passes its gradient on.
inline constexpr SelectiveScanGradients activations{.u = true, .dt = true, .B = true, .C = true, .z = true};
}  // namespace examples

SDLORA_EXAMPLES_INSTANCE void detail::matmul<false, false, float>(MatrixView<float>, MatrixView<const float>,
                                                                  MatrixView<const float>, Write, float);
SDLORA_EXAMPLES_INSTANCE void detail::matmul<false, true, float>(MatrixView<float>, MatrixView<const float>,
                                                                 MatrixView<const float>, Write, float);
SDLORA_EXAMPLES_INSTANCE void detail::matmul<true, false, float>(MatrixView<float>, MatrixView<const float>,
                                                                 MatrixView<const float>, Write, float);
SDLORA_EXAMPLES_INSTANCE void rms_norm_forward<float>(MatrixView<const float>, const float*, float,
                                                      MatrixView<float>);
SDLORA_EXAMPLES_INSTANCE void rms_norm_backward<float>(MatrixView<const float>, const float*, float,
                                                       MatrixView<const float>, MatrixView<float>, float*,
                                                       Workspace&);
SDLORA_EXAMPLES_INSTANCE void conv1d_silu_forward<4, float>(const Conv1dInputs<float>&, MatrixView<float>,
                                                            float*, Workspace&);
SDLORA_EXAMPLES_INSTANCE void conv1d_silu_backward<4, float>(const Conv1dInputs<float>&,
                                                             MatrixView<const float>, const float*,
                                                             const Conv1dGradients<float>&, Workspace&);
SDLORA_EXAMPLES_INSTANCE void selective_scan_forward<16, float>(const SelectiveScanInputs<float>&,
                                                                MatrixView<float>, float*, float*,
                                                                Workspace&);
SDLORA_EXAMPLES_INSTANCE void selective_scan_backward<16, examples::activations, float>(
    const SelectiveScanInputs<float>&, const float*, MatrixView<const float>, const float*,
    const SelectiveScanGradientOutputs<float>&, Workspace&);
SDLORA_EXAMPLES_INSTANCE Loss head_cross_entropy<float>(MatrixView<const float>, MatrixView<const float>,
                                                        std::span<const std::int32_t>, float,
                                                        MatrixView<float>, MatrixView<float>, Workspace&);
SDLORA_EXAMPLES_INSTANCE class LoRA<>::Linear<float>;

}  // namespace sdlora
