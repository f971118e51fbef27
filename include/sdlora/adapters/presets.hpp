#pragma once

#include "methods.hpp"
#include "place.hpp"

namespace sdlora::presets {

/// SDLoRA as published (Galim et al., arXiv 2410.09016): LoRA on the output projection, and selected
/// dimensions of the SSM on A_log, x_proj_B and x_proj_C.
template <std::size_t Rank = dyn, std::size_t Channels = dyn, std::size_t States = dyn>
struct SDLoRA
    : Place<On<site::OutProj, LoRA<Rank>>, On<site::ALog, SelectedDimensions<Channels, States>>,
            On<site::XProjB, SelectedDimensions<Channels>>, On<site::XProjC, SelectedDimensions<Channels>>> {
};

/// LoRA on the linear projections around the SSM: both halves of in_proj, and out_proj.
template <std::size_t Rank = dyn>
struct LoRALinear
    : Place<On<site::InProjX, LoRA<Rank>>, On<site::InProjZ, LoRA<Rank>>, On<site::OutProj, LoRA<Rank>>> {};

/// LoRALinear together with SDLoRA's selected dimensions: the same idea with LoRA on every linear
/// projection around the SSM. Its counts are not those of the paper.
template <std::size_t Rank = dyn, std::size_t Channels = dyn, std::size_t States = dyn>
struct SDLoRALinear
    : Place<On<site::InProjX, LoRA<Rank>>, On<site::InProjZ, LoRA<Rank>>, On<site::OutProj, LoRA<Rank>>,
            On<site::ALog, SelectedDimensions<Channels, States>>,
            On<site::XProjB, SelectedDimensions<Channels>>, On<site::XProjC, SelectedDimensions<Channels>>> {
};

/// Sparse dimension tuning with LoRA, SDLoRA as its final paper names it (arXiv 2410.09016v3): the same sites
/// as SDLoRALinear; before the dimensions are ranked the whole of A_log, x_proj_B and x_proj_C learns, for an
/// epoch there (SelectionOptions::epochs).
template <std::size_t Rank = dyn, std::size_t Channels = dyn, std::size_t States = dyn>
struct SDT : SDLoRALinear<Rank, Channels, States> {
  static constexpr bool warms_up_whole_ssm = true;
};

/// The same with DoRA on the projections.
template <std::size_t Rank = dyn, std::size_t Channels = dyn, std::size_t States = dyn>
struct SDTDoRA
    : Place<On<site::InProjX, DoRA<Rank>>, On<site::InProjZ, DoRA<Rank>>, On<site::OutProj, DoRA<Rank>>,
            On<site::ALog, SelectedDimensions<Channels, States>>,
            On<site::XProjB, SelectedDimensions<Channels>>, On<site::XProjC, SelectedDimensions<Channels>>> {
  static constexpr bool warms_up_whole_ssm = true;
};

/// LoRA on the SSM module's own projections: the three parts of x_proj, and dt_proj.
template <std::size_t Rank = dyn>
struct LoRASsm : Place<On<site::XProjDt, LoRA<Rank>>, On<site::XProjB, LoRA<Rank>>,
                       On<site::XProjC, LoRA<Rank>>, On<site::DtProj, LoRA<Rank>>> {};

/// LoRA where `peft` can train and load it on a Mamba: in_proj, x_proj and A_log. The placement to train for
/// peft.
template <std::size_t Rank = dyn>
struct LoRAPeft
    : Place<On<site::InProjX, LoRA<Rank>>, On<site::InProjZ, LoRA<Rank>>, On<site::XProjDt, LoRA<Rank>>,
            On<site::XProjB, LoRA<Rank>>, On<site::XProjC, LoRA<Rank>>, On<site::ALog, LoRA<Rank>>> {};

/// LoRA on every linear site.
template <std::size_t Rank = dyn>
struct LoRAAll
    : Place<On<site::InProjX, LoRA<Rank>>, On<site::InProjZ, LoRA<Rank>>, On<site::XProjDt, LoRA<Rank>>,
            On<site::XProjB, LoRA<Rank>>, On<site::XProjC, LoRA<Rank>>, On<site::DtProj, LoRA<Rank>>,
            On<site::OutProj, LoRA<Rank>>> {};

/// LoRALinear's sites by rank-stabilised LoRA (arXiv 2312.03732).
template <std::size_t Rank = dyn>
struct RsLoRALinear : Place<On<site::InProjX, RsLoRA<Rank>>, On<site::InProjZ, RsLoRA<Rank>>,
                            On<site::OutProj, RsLoRA<Rank>>> {};

/// LoRALinear's sites by DoRA (arXiv 2402.09353).
template <std::size_t Rank = dyn>
struct DoRALinear
    : Place<On<site::InProjX, DoRA<Rank>>, On<site::InProjZ, DoRA<Rank>>, On<site::OutProj, DoRA<Rank>>> {};

/// LoRALinear's sites by LoRA with a frozen A (LoRA-FA, arXiv 2308.03303).
template <std::size_t Rank = dyn>
struct LoRAFALinear : Place<On<site::InProjX, LoRAFA<Rank>>, On<site::InProjZ, LoRAFA<Rank>>,
                            On<site::OutProj, LoRAFA<Rank>>> {};

/// LoRALinear's sites by PiSSA (arXiv 2404.02948).
template <std::size_t Rank = dyn>
struct PiSSALinear
    : Place<On<site::InProjX, PiSSA<Rank>>, On<site::InProjZ, PiSSA<Rank>>, On<site::OutProj, PiSSA<Rank>>> {
};

/// ProDiaL on the projectors, as published (arXiv 2411.15224). The two halves of in_proj have each an M.
template <std::size_t Rank = dyn, std::size_t BlockSize = dyn>
struct ProDiaLLinear
    : Place<On<site::InProjX, ProDiaL<Rank, BlockSize>>, On<site::InProjZ, ProDiaL<Rank, BlockSize>>,
            On<site::OutProj, ProDiaL<Rank, BlockSize>>> {};

/// LoRALinear's sites by VeRA (arXiv 2310.11454).
template <std::size_t Rank = dyn>
struct VeRALinear
    : Place<On<site::InProjX, VeRA<Rank>>, On<site::InProjZ, VeRA<Rank>>, On<site::OutProj, VeRA<Rank>>> {};

/// (IA)³ (arXiv 2205.05638) on every linear site. The paper scales keys, values and the inner activations of
/// a Transformer; a Mamba block has no such parts of its own.
struct IA3All
    : Place<On<site::InProjX, IA3>, On<site::InProjZ, IA3>, On<site::XProjDt, IA3>, On<site::XProjB, IA3>,
            On<site::XProjC, IA3>, On<site::DtProj, IA3>, On<site::OutProj, IA3>> {};

/// State-offset tuning of h (arXiv 2503.03499): an offset of every block's state, for all tokens.
struct StateOffsetTuning : Place<On<site::Scan, StateOffset>> {};

/// State-offset tuning of y (the same): an offset of the scan's output.
struct StateOffsetTuningY : Place<On<site::Scan, StateOffsetY>> {};

/// State-offset tuning of h of low rank (the same).
template <std::size_t Rank = dyn>
struct LowRankStateOffsetTuning : Place<On<site::Scan, LowRankStateOffset<Rank>>> {};

/// Additional-scan (arXiv 2411.03855): more states of every channel.
template <std::size_t States = dyn>
struct AdditionalStates : Place<On<site::Scan, AdditionalScan<States>>> {};

/// The initial state of every block's SSM; costs nothing at inference.
struct InitialState : Place<On<site::H0, Full>> {};

/// The same, and the convolution's inputs before the first token.
struct InitialStateAndWindow : Place<On<site::H0, Full>, On<site::Conv0, Full>> {};

/// S0 tuning (arXiv 2604.01168): the initial state, scaled.
struct S0Tuning : Place<On<site::H0, ScaledState>> {};

/// The existing biases (BitFit, arXiv 2106.10199): of the convolution and of dt.
struct BitFit : Place<On<site::ConvBias, Full>, On<site::DtBias, Full>> {};

/// Parts of the SSM that learn as a whole, the others frozen (arXiv 2410.09016, 2411.03855): A_log; the skip
/// D and all norms; the convolution and its bias; x_proj; dt_proj and its bias; that bias alone.
/// @{
struct ALogAlone : Place<On<site::ALog, Full>> {};
struct DAndNorms : Place<On<site::D, Full>, On<site::Norm, Full>, On<site::NormF, Full>> {};
struct Convolution : Place<On<site::Conv1d, Full>, On<site::ConvBias, Full>> {};
struct XProj : Place<On<site::XProjDt, Full>, On<site::XProjB, Full>, On<site::XProjC, Full>> {};
struct DtProj : Place<On<site::DtProj, Full>, On<site::DtBias, Full>> {};
struct DtBias : Place<On<site::DtBias, Full>> {};
/// @}

/// The SSM's core beside LoRA on its projections (Zenodo 18819932): A_log, D and the bias of dt learn as a
/// whole.
template <std::size_t Rank = dyn>
struct SsmCore
    : Place<On<site::InProjX, LoRA<Rank>>, On<site::InProjZ, LoRA<Rank>>, On<site::OutProj, LoRA<Rank>>,
            On<site::ALog, Full>, On<site::D, Full>, On<site::DtBias, Full>> {};

/// Prompt tuning.
template <std::size_t Length = dyn>
struct Prompt : Place<On<site::Prompt, PromptTuning<Length>>> {};

/// Prefix tuning.
template <std::size_t Length = dyn>
struct Prefix : Place<On<site::Prefix, PrefixTuning<Length>>> {};

/// Every weight of the checkpoint but a head of its own.
struct FullFineTune
    : Place<On<site::InProjX, Full>, On<site::InProjZ, Full>, On<site::XProjDt, Full>, On<site::XProjB, Full>,
            On<site::XProjC, Full>, On<site::DtProj, Full>, On<site::DtBias, Full>, On<site::Conv1d, Full>,
            On<site::ConvBias, Full>, On<site::ALog, Full>, On<site::D, Full>, On<site::OutProj, Full>,
            On<site::Norm, Full>, On<site::NormF, Full>, On<site::Embedding, Full>> {};

/// The checkpoint as it is: for inference and evaluation.
struct NothingTrains : Place<> {};

}  // namespace sdlora::presets
