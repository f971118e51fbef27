#pragma once

#include "version.hpp"

// All of model/.
#include "model/base.hpp"
#include "model/batch.hpp"
#include "model/coverage.hpp"
#include "model/cross_entropy.hpp"
#include "model/deep_s4.hpp"
#include "model/deep_s4_base.hpp"
#include "model/example.hpp"
#include "model/execution.hpp"
#include "model/fingerprint.hpp"
#include "model/generate.hpp"
#include "model/head_loss.hpp"
#include "model/language_model.hpp"
#include "model/loss.hpp"
#include "model/mamba_model.hpp"
#include "model/mamba_state.hpp"
#include "model/sequence_losses.hpp"
