#pragma once

#include "adamw.hpp"
#include "schedule.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
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
  std::optional<double> evaluation = {};  ///< the one after this step, where one was due
};

/// What a run calls after each of its steps: any function of the StepReport. Where it returns a bool, that
/// says whether the run goes on; one that returns nothing always lets it.
class StepCallback {
 public:
  StepCallback() = default;
  template <class F>
    requires(!std::same_as<F, StepCallback>) && std::copy_constructible<F> &&
            std::invocable<F&, const StepReport&>
  StepCallback(F function) {
    using Result = std::invoke_result_t<F&, const StepReport&>;
    static_assert(
        std::is_void_v<Result> || std::same_as<Result, bool>,
        "sdlora::StepCallback: expected a function of a StepReport that returns nothing, or a bool: "
        "whether the run goes on");
    if constexpr (std::same_as<Result, bool>) {
      function_ = std::move(function);
    } else {
      function_ = [function = std::move(function)](const StepReport& step) mutable {
        function(step);
        return true;
      };
    }
  }

  /// Whether the run goes on.
  bool operator()(const StepReport& step) const { return !function_ || function_(step); }

 private:
  std::function<bool(const StepReport&)> function_ = {};
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
  bool keep_best =
      false;  ///< `fit` leaves the values of the best evaluation, the smallest, not the last ones
  std::size_t patience = 0;  ///< evaluations without a better one until the run ends; 0: it goes to its end
  bool progress = true;
  std::ostream* output = nullptr;  ///< of the progress; null: standard error
  std::string label = "training";  ///< before every line of progress
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double final_rate = 0.0;    ///< of the schedule, as a part of the learning rate
  StepCallback on_step = {};  ///< after each step, its evaluation and its checkpoint; it may end the run
  /// Names the values that the model has before the first step, where they are not the fresh ones of its
  /// seed: those of a saved adapter, as "adapter 0123456789abcdef". A checkpoint of a run from other values
  /// is refused.
  std::string initial_values = {};
};

/// Why a run ended.
enum class RunEnd {
  AllSteps,  ///< it made all of its steps
  Stopped,   ///< `on_step` said so
  Patience   ///< as many evaluations as `patience` says were no better
};

/// What came out of a run.
struct TrainingReport {
  std::uint64_t first_step = 0;  ///< 0, or where the run resumed
  std::uint64_t steps = 0;       ///< of a whole run, those before resuming included
  std::uint64_t last_step = 0;   ///< after which this one ended; `steps` unless it ended early
  RunEnd end = RunEnd::AllSteps;
  std::vector<double> losses;                                 ///< of each step made here
  std::vector<std::pair<std::uint64_t, double>> evaluations;  ///< step and value, those made here
  /// Step and value of the best evaluation, those before resuming included; none where none was made.
  std::optional<std::pair<std::uint64_t, double>> best = {};
  std::uint64_t tokens = 0;  ///< that went through the model here
  double seconds = 0.0;      ///< of the steps alone: no evaluation, no checkpoints
};

}  // namespace sdlora
