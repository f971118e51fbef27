#pragma once

#include "dora.hpp"
#include "ia3.hpp"
#include "lora.hpp"
#include "policy.hpp"
#include "prompt.hpp"
#include "rs_lora.hpp"
#include "selected_dimensions.hpp"
#include "state_offset.hpp"
#include "vera.hpp"

namespace sdlora {

/// A list of policies.
template <AdapterPolicy... Policies>
struct MethodList {};

/// Every method of this library, sizes left to run time. A new one is a line here.
using Methods = MethodList<Frozen, Full, LoRA<>, RsLoRA<>, DoRA<>, IA3, SelectedDimensions<>, StateOffset,
                           PromptTuning<>, PrefixTuning<>, VeRA<>>;

}  // namespace sdlora
