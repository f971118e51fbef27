#pragma once

// All of training/.
#include "training/adamw.hpp"
#include "training/checkpoint.hpp"
#include "training/evaluate.hpp"
#include "training/metrics_log.hpp"
#include "training/progress.hpp"
#include "training/schedule.hpp"
#include "training/select_dimensions.hpp"
#include "training/selection_options.hpp"
#include "training/trainer.hpp"
