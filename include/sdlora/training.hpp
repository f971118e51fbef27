#pragma once

// All of training/.
#include "training/adamw.hpp"
#include "training/candidate_scorer.hpp"
#include "training/checkpoint.hpp"
#include "training/choice_task.hpp"
#include "training/evaluate.hpp"
#include "training/gradient_tree.hpp"
#include "training/metrics_log.hpp"
#include "training/progress.hpp"
#include "training/run_identity.hpp"
#include "training/schedule.hpp"
#include "training/select_dimensions.hpp"
#include "training/selection_file.hpp"
#include "training/selection_options.hpp"
#include "training/settings.hpp"
#include "training/trainer.hpp"
#include "training/trainer_options.hpp"
