#pragma once

#include "adamw.hpp"
#include "schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// What one step was.
struct StepReport {
  std::uint64_t step = 0;      ///< 1 after the first
  double epoch = 0.0;          ///< passes over the data so far
  double loss = 0.0;           ///< mean over the step's targets, before its update, in nats
  double gradient_norm = 0.0;  ///< before clipping
  double learning_rate = 0.0;
  std::size_t tokens = 0;  ///< that went through the model
  double seconds = 0.0;
};

/// Settings of a training run.
struct TrainerOptions {
  std::size_t epochs = 1;
  std::size_t steps = 0;  ///< instead of epochs, if not 0
  double learning_rate = 1e-3;
  std::size_t batch_size = 4;    ///< examples that go through the model together
  std::size_t accumulation = 1;  ///< batches of one step
  double weight_decay = 0.0;
  double clip = 1.0;  ///< largest norm of all gradients; 0: no clipping
  std::size_t warm_up_steps = 0;
  Decay decay = Decay::Linear;
  std::vector<ParameterGroup> groups = {};
  std::uint64_t seed = 0;                           ///< of the order of the examples
  std::size_t checkpoint_every = 0;                 ///< in steps; 0: after every epoch
  std::filesystem::path checkpoint_directory = {};  ///< empty: no checkpoints
  bool resume = false;                              ///< go on from the checkpoint there, if there is one
  std::filesystem::path log_path = {};              ///< of the metrics log; empty: none
  std::size_t evaluate_every = 0;                   ///< in steps; 0: after every epoch
  bool progress = true;
  std::ostream* output = nullptr;  ///< of the progress; null: standard error
  std::string label = "training";  ///< before every line of progress
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double final_rate = 0.0;  ///< of the schedule, as a part of the learning rate
  std::function<void(const StepReport&)> on_step = {};
};

/// What came out of a run.
struct TrainingReport {
  std::uint64_t first_step = 0;                               ///< 0, or where the run resumed
  std::uint64_t steps = 0;                                    ///< in all, those before resuming included
  std::vector<double> losses;                                 ///< of each step made here
  std::vector<std::pair<std::uint64_t, double>> evaluations;  ///< step and mean loss, those made here
  std::uint64_t tokens = 0;                                   ///< that went through the model here
  double seconds = 0.0;  ///< of the steps alone: no evaluation, no checkpoints
};

}  // namespace sdlora
