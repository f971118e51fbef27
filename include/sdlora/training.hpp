#pragma once

// All of training/.
#include "training/adamw.hpp"
#include "training/metrics_log.hpp"
#include "training/progress.hpp"
#include "training/schedule.hpp"
