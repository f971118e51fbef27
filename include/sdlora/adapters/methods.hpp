#pragma once

#include "additional_scan.hpp"
#include "dora.hpp"
#include "ia3.hpp"
#include "lora.hpp"
#include "lora_fa.hpp"
#include "low_rank_state_offset.hpp"
#include "pissa.hpp"
#include "policy.hpp"
#include "prodial.hpp"
#include "prompt.hpp"
#include "rs_lora.hpp"
#include "scaled_state.hpp"
#include "selected_dimensions.hpp"
#include "state_offset.hpp"
#include "state_offset_y.hpp"
#include "vera.hpp"

namespace sdlora {

/// A list of policies.
template <AdapterPolicy... Policies>
struct MethodList {};

/// Every method of this library, sizes left to run time. A new one is a line here.
using Methods = MethodList<Frozen, Full, LoRA<>, RsLoRA<>, LoRAFA<>, PiSSA<>, DoRA<>, ProDiaL<>, IA3,
                           SelectedDimensions<>, StateOffset, StateOffsetY, LowRankStateOffset<>,
                           AdditionalScan<>, ScaledState, PromptTuning<>, PrefixTuning<>, VeRA<>>;

}  // namespace sdlora
