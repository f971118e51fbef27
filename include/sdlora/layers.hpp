#pragma once

// All of layers/.
#include "layers/conv1d.hpp"
#include "layers/fused_linear.hpp"
#include "layers/mamba_block.hpp"
#include "layers/mamba_config.hpp"
#include "layers/mamba_needs.hpp"
#include "layers/mamba_places.hpp"
#include "layers/mamba_ssm.hpp"
#include "layers/mamba_weights.hpp"
#include "layers/rms_norm.hpp"
