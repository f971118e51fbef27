#pragma once

// All of adapters/.
#include "adapters/describe.hpp"
#include "adapters/lora.hpp"
#include "adapters/options.hpp"
#include "adapters/parameter_store.hpp"
#include "adapters/place.hpp"
#include "adapters/policy.hpp"
#include "adapters/presets.hpp"
#include "adapters/prompt.hpp"
#include "adapters/selected_dimensions.hpp"
#include "adapters/selection.hpp"
#include "adapters/selection_phase.hpp"
#include "adapters/site.hpp"
