#pragma once

#include "version.hpp"

// All of layers/.
#include "layers/conv1d.hpp"
#include "layers/fused_linear.hpp"
#include "layers/mamba/block.hpp"
#include "layers/mamba/config.hpp"
#include "layers/mamba/dimensions.hpp"
#include "layers/mamba/needs.hpp"
#include "layers/mamba/places.hpp"
#include "layers/mamba/ssm.hpp"
#include "layers/mamba/state.hpp"
#include "layers/mamba/tensors.hpp"
#include "layers/mamba/weights.hpp"
#include "layers/model_tensors.hpp"
#include "layers/rms_norm.hpp"
#include "layers/s4d/arguments.hpp"
#include "layers/s4d/block.hpp"
#include "layers/s4d/initialize.hpp"
#include "layers/s4d/recurrence.hpp"
#include "layers/s4d/tensors.hpp"
#include "layers/tensor_table.hpp"
