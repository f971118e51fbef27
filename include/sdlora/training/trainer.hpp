#pragma once

#include "../error.hpp"
#include "../io/atomic_file.hpp"
#include "../io/folder_lock.hpp"
#include "../model/batch.hpp"
#include "../model/example.hpp"
#include "../model/language_model.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/random.hpp"
#include "adamw.hpp"
#include "best_evaluation.hpp"
#include "checkpoint.hpp"
#include "evaluate.hpp"
#include "gradient_tree.hpp"
#include "metrics_log.hpp"
#include "progress.hpp"
#include "run_identity.hpp"
#include "schedule.hpp"
#include "settings.hpp"
#include "trainer_options.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <limits>
#include <optional>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

namespace sdlora {

/// Trains what learns in a model with AdamW. The loss of a step is the mean over all label tokens of
/// all its micro-batches, whose gradients are summed in a fixed tree (GradientTree). Each epoch goes through
/// the examples in an order that follows from seed and epoch. With a checkpoint directory, a run that was
/// killed at any moment, or stopped by `on_step`, goes on from its last checkpoint and ends with the same
/// bits as one that was not. A run of constant decay goes on with more epochs or steps than it was begun
/// with, too; the evaluation at its first end then counts among the others.
template <class Model>
class Trainer {
  static_assert(
      TrainableModel<Model>,
      "sdlora::Trainer: takes a model that can be trained, as MambaModel and AnyModel; language_model.hpp "
      "says what it must have (TrainableModel)");
  static_assert(may_learn<Model>,
                "sdlora::Trainer: this placement trains nothing; place at least one policy, for example "
                "presets::SDLoRA<8, 15, 4>, or use evaluate_loss to evaluate");
  using T = typename Model::value_type;
  using D = typename Model::device_type;

 public:
  /// The model must outlive the trainer. Throws ArgumentError where an option makes no sense.
  explicit Trainer(Model& model, TrainerOptions options = {}) : model_(&model), options_(std::move(options)) {
    const TrainerOptions& o = options_;
    if (o.epochs == 0 && o.steps == 0) {
      throw ArgumentError("Trainer: expected epochs or steps of at least 1, found 0 and 0");
    }
    require_settings(o, "Trainer");
    if (o.checkpoint_directory.empty() && (o.resume || o.checkpoint_every != 0)) {
      throw ArgumentError(std::string("Trainer: expected a checkpoint_directory ") +
                          (o.resume ? "to resume from" : "where checkpoint_every is not 0"));
    }
  }

  /// Trains on the examples of `data` (a dataset or a range of examples). The model is left with the values
  /// after the last step, or with keep_best those of the best evaluation.
  /// Throws ArgumentError on unusable data, and where options ask for an evaluation that is not given; Error
  /// where the loss stops being finite (the model is as before that step, and files are untouched); FileError
  /// where a file cannot be written or read, or another run uses the checkpoint directory.
  template <class Data>
  TrainingReport fit(const Data& data) {
    return run(examples_of(data), {});
  }

  /// The same, evaluated now and then, which is shown and logged: by the mean loss on `evaluation`, examples
  /// as `data`, or by a function of the model that returns a number, the smaller the better, as
  ///   [&](const auto& model) { return -accuracy(model, held_out); }
  /// A run that resumes must be given the same, where it keeps the best or has patience.
  template <class Data, class Evaluation>
  TrainingReport fit(const Data& data, const Evaluation& evaluation) {
    if constexpr (std::is_invocable_r_v<double, const Evaluation&, const Model&>) {
      return run(examples_of(data),
                 {.function = [&](const Model& model) -> double { return evaluation(model); }});
    } else {
      return run(examples_of(data), {.examples = examples_of(evaluation)});
    }
  }

  const TrainerOptions& options() const { return options_; }

 private:
  /// A run's examples in their order. Where a step's examples lie follows from its number alone.
  struct Order {
    std::span<const Example> examples;
    std::size_t per_step = 0;
    std::uint64_t seed = 0;
    std::vector<std::uint32_t> indices = {};
    std::uint64_t epoch = static_cast<std::uint64_t>(-1);

    std::uint64_t steps_per_epoch() const { return detail::ceil_div(examples.size(), per_step); }

    /// The examples of a step, the last of an epoch may have fewer.
    std::span<const std::uint32_t> of_step(std::uint64_t step) {
      if (const std::uint64_t wanted = step / steps_per_epoch(); wanted != epoch) {
        epoch = wanted;
        indices.resize(examples.size());
        for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::uint32_t>(i);
        RandomStream(seed, epoch).shuffle(indices.data(), indices.size());
      }
      const auto first = static_cast<std::size_t>(step % steps_per_epoch()) * per_step;
      return std::span<const std::uint32_t>(indices).subspan(first,
                                                             std::min(per_step, indices.size() - first));
    }
  };

  /// What a run is evaluated by: the loss on examples, or a function; or nothing.
  struct Evaluation {
    std::span<const Example> examples = {};
    std::function<double(const Model&)> function = {};

    explicit operator bool() const { return !examples.empty() || function; }
    /// In a RunIdentity.
    std::string text(std::size_t every) const {
      if (!*this) return "";
      return (function ? "a function" : detail::data_text(examples)) + ", every " + std::to_string(every);
    }
  };

  TrainingReport run(std::span<const Example> examples, const Evaluation& evaluation) {
    if (examples.empty()) throw ArgumentError("Trainer: expected examples to train on, found none");
    require_usable(examples, "example ");
    require_usable(evaluation.examples, "evaluation example ");
    const TrainerOptions& o = options_;
    if (!evaluation && (o.keep_best || o.patience != 0)) {
      throw ArgumentError(std::string("Trainer: ") + (o.keep_best ? "keep_best" : "patience") +
                          " goes by evaluations, expected something to evaluate on, found none; give fit() "
                          "examples or a function as its second argument");
    }
    Order order{examples, o.batch_size * o.accumulation, o.seed};
    const std::uint64_t per_epoch = order.steps_per_epoch();
    if (o.steps == 0 && o.epochs > std::numeric_limits<std::uint64_t>::max() / per_epoch) {
      throw ArgumentError("Trainer: " + std::to_string(o.epochs) + " epochs of " + std::to_string(per_epoch) +
                          " steps are more than can be counted; give fewer, or steps");
    }
    const std::uint64_t total = o.steps != 0 ? o.steps : o.epochs * per_epoch;
    const Schedule schedule{o.learning_rate, total, o.warm_up_steps, o.decay, o.final_rate};
    ParameterStore<T, D>& parameters = model_->parameters();
    AdamW<T, D> optimizer(parameters, {o.beta1, o.beta2, o.epsilon, o.weight_decay, o.groups});
    BestEvaluation<T> best;

    TrainingReport report;
    report.steps = total;
    std::filesystem::path checkpoint;
    std::optional<std::uint64_t> saved;  // the step of the checkpoint, once there is one
    RunIdentity identity;
    std::optional<FolderLock> lock;  // before anything there is read, until the end of the run
    if (!o.checkpoint_directory.empty()) {
      make_directories(o.checkpoint_directory);
      lock.emplace(o.checkpoint_directory);
      identity = training_identity(*model_, examples, o, total);
      identity.emplace_back("evaluation", evaluation.text(o.evaluate_every));
      checkpoint = open_checkpoint();
      if (o.resume && std::filesystem::exists(checkpoint)) {
        saved = load_checkpoint(checkpoint, parameters, optimizer, what_resumes(identity), &best, total);
        report.first_step = *saved;
      }
    }
    report.last_step = report.first_step;
    MetricsLog log(o.log_path, report.first_step > 0 ? std::optional(report.first_step) : std::nullopt);
    std::ostream& out = o.output != nullptr ? *o.output : std::cerr;
    std::optional<Progress> progress;
    if (o.progress) progress.emplace(out, o.label, total, report.first_step);
    if (progress && report.first_step > 0) {
      progress->note(o.label + ": resumed after step " + std::to_string(report.first_step));
    }
    if (progress && o.warm_up_steps >= total) {
      std::ostringstream text;
      text << o.label << ": the warm-up of " << o.warm_up_steps << " steps takes all of the run's " << total
           << ": the learning rate rises to " << schedule(total - 1) << ", not to " << o.learning_rate;
      progress->note(text.str());
    }

    const auto save = [&] {
      save_checkpoint(checkpoint, parameters, optimizer, identity, best);
      saved = report.last_step;
    };
    const auto out_of_patience = [&] { return o.patience != 0 && best.since >= o.patience; };
    bool goes_on = true;
    const Stopwatch watch;
    while (goes_on && report.last_step < total && !out_of_patience()) {
      StepReport made = make_step(order, report.last_step, schedule, optimizer, saved);
      const std::uint64_t done = report.last_step = made.step;
      report.losses.push_back(made.loss);
      report.tokens += made.tokens;
      report.seconds += made.seconds;
      log.write(done, {{"epoch", made.epoch},
                       {"loss", made.loss},
                       {"learning_rate", made.learning_rate},
                       {"gradient_norm", made.gradient_norm},
                       {"tokens", static_cast<double>(made.tokens)},
                       {"seconds", made.seconds}});
      if (progress) progress->update(done, made.loss, made.tokens, watch.seconds());
      const auto due = [&](std::size_t every) {
        return done == total || done % (every != 0 ? every : per_epoch) == 0;
      };
      if (evaluation && due(o.evaluate_every)) {
        made.evaluation = evaluate(evaluation, done, log, progress);
        report.evaluations.emplace_back(done, *made.evaluation);
        if (best.update(done, *made.evaluation) && o.keep_best) best.parameters = parameters.host_values();
      }
      if (!checkpoint.empty() && due(o.checkpoint_every)) save();
      goes_on = o.on_step(made);
    }
    if (!checkpoint.empty() && report.last_step > report.first_step && saved != report.last_step) save();

    if (report.last_step < total) report.end = out_of_patience() ? RunEnd::Patience : RunEnd::Stopped;
    if (best.step != 0) report.best.emplace(best.step, best.value);
    if (!best.parameters.empty()) parameters.set_values(best.parameters);
    if (progress) note_end(*progress, report, !best.parameters.empty());
    return report;
  }

  /// What of a run's identity another one must share to go on with it. Where the rate stays, no step follows
  /// from their number; how a run is evaluated decides nothing unless its best is kept or ends it.
  RunIdentity what_resumes(RunIdentity identity) const {
    std::erase_if(identity, [&](const auto& entry) {
      return (entry.first == "steps" && options_.decay == Decay::Constant) ||
             (entry.first == "evaluation" && !options_.keep_best && options_.patience == 0);
    });
    return identity;
  }

  double evaluate(const Evaluation& evaluation, std::uint64_t step, MetricsLog& log,
                  std::optional<Progress>& progress) const {
    std::ostringstream text;
    text.precision(5);
    text << options_.label << ": evaluation after step " << step << ": ";
    double value = 0.0;
    if (evaluation.function) {
      value = evaluation.function(*model_);
      log.write(step, {{"evaluation", value}});
      text << value;
    } else {
      const Loss loss = evaluate_loss(*model_, evaluation.examples);
      value = loss.mean();
      log.write(step, {{"evaluation_loss", value}, {"evaluation_perplexity", perplexity(loss)}});
      text << "loss " << value << ", perplexity " << perplexity(loss);
    }
    if (progress) progress->note(text.str());
    return value;
  }

  void note_end(Progress& progress, const TrainingReport& report, bool kept) const {
    const std::string begin = options_.label + ": ";
    const std::string after = "ended after step " + std::to_string(report.last_step);
    if (report.end == RunEnd::Stopped) progress.note(begin + after + ", as on_step asked for");
    if (report.end == RunEnd::Patience) {
      progress.note(begin + after + ": none of the last " + std::to_string(options_.patience) +
                    " evaluations was better than that of step " +
                    std::to_string(report.best ? report.best->first : 0));
    }
    if (kept) {
      progress.note(begin + "the values are those of step " + std::to_string(report.best->first) +
                    ", of the best evaluation");
    }
  }

  /// Refuses what no batch takes now, and not in the step or evaluation that comes to it.
  void require_usable(std::span<const Example> examples, const char* what) const {
    const std::size_t vocabulary = model_->dimensions().vocab_size;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const auto& [ids, labels] = examples[i];
      const auto refuse = [&](const std::string& text) {
        throw ArgumentError(std::string("Trainer: ") + what + std::to_string(i) + ": " + text);
      };
      if (ids.empty() || ids.size() != labels.size()) {
        refuse("expected tokens, and a label for each, found " + std::to_string(ids.size()) + " tokens and " +
               std::to_string(labels.size()) + " labels; leave it out, or correct it");
      }
      const auto outside = [&](std::int32_t id) {
        return id < 0 || static_cast<std::size_t>(id) >= vocabulary;
      };
      for (std::size_t t = 0; t < ids.size(); ++t) {
        // The first label is never used.
        const bool label = !outside(ids[t]) && t > 0 && labels[t] != ignored_label && outside(labels[t]);
        if (!label && !outside(ids[t])) continue;
        refuse(std::string("expected ") + (label ? "labels of -100 or" : "ids") + " from 0 to " +
               std::to_string(vocabulary - 1) + ", found " + std::to_string(label ? labels[t] : ids[t]) +
               " at position " + std::to_string(t) + "; encode it with the model's tokenizer");
      }
    }
  }

  StepReport make_step(Order& order, std::uint64_t step, const Schedule& schedule, AdamW<T, D>& optimizer,
                       std::optional<std::uint64_t> saved) {
    const Stopwatch watch;
    const TrainerOptions& o = options_;
    const std::span<const std::uint32_t> chosen = order.of_step(step);
    std::size_t targets = 0;
    for (const std::uint32_t i : chosen) targets += loss_tokens(order.examples[i]);
    if (targets == 0) {
      throw ArgumentError("Trainer: none of the " + std::to_string(chosen.size()) + " examples of step " +
                          std::to_string(step + 1) +
                          " has a label to learn after its first token; remove example " +
                          std::to_string(chosen[0]) + " or correct its labels");
    }
    StepReport made;
    made.step = step + 1;
    made.epoch = static_cast<double>(made.step) / static_cast<double>(order.steps_per_epoch());
    made.learning_rate = schedule(step);
    double sum = 0.0;
    tree_.clear();
    for (std::size_t first = 0, micro = 0; first < chosen.size(); first += o.batch_size, ++micro) {
      batch_.clear();
      for (const std::uint32_t i : chosen.subspan(first, std::min(o.batch_size, chosen.size() - first))) {
        batch_.add(order.examples[i]);
      }
      made.tokens += batch_.tokens();
      ParameterStore<T, D>& parameters = model_->parameters();
      parameters.zero_gradients();
      const Loss loss =
          model_->accumulate_gradients(batch_, 1.0 / static_cast<double>(targets),
                                       {.training = true, .step = step * o.accumulation + micro});
      if (first + o.batch_size < chosen.size()) {
        tree_.add(std::as_const(parameters).gradient_row(), loss.sum);
      } else {
        sum = tree_.finish(parameters.gradient_row(), loss.sum);
      }
    }
    made.loss = sum / static_cast<double>(targets);
    made.gradient_norm = clip_gradients(model_->parameters(), o.clip);
    if (!std::isfinite(made.loss) || !std::isfinite(made.gradient_norm)) {
      std::ostringstream text;
      text << "Trainer: at step " << made.step << " the loss is " << made.loss
           << " and the norm of its gradient " << made.gradient_norm << ", expected finite numbers; ";
      if (step == 0) {
        text
            << "nothing was learned yet, so the learning rate is not the cause, but the base or the examples "
               "of this step; score them with the base alone, then give another base or leave them out";
      } else {
        text << "the values are those after step " << step << "; begin anew with a lower learning rate than "
             << o.learning_rate << ", a longer warm-up or stronger clipping";
      }
      if (step != 0 && !o.checkpoint_directory.empty()) {
        text << " (";
        if (saved) {
          text << "in another directory: the checkpoint, of step " << *saved
               << ", goes on with the settings of its run only)";
        } else {
          text << "no checkpoint was written)";
        }
      }
      throw Error(text.str());
    }
    optimizer.step(model_->parameters(), made.learning_rate);
    made.seconds = watch.seconds();
    return made;
  }

  /// The checkpoint's name; what a killed run left half-written beside it is removed.
  std::filesystem::path open_checkpoint() const {
    const std::filesystem::path path = options_.checkpoint_directory / "checkpoint.safetensors";
    if (!options_.resume && std::filesystem::exists(path)) {
      throw FileError(path.string(), "",
                      "is the checkpoint of an earlier run; resume it, or remove the file to begin anew");
    }
    remove_leftovers(path);
    return path;
  }

  Model* model_;
  TrainerOptions options_;
  Batch batch_;
  GradientTree<T, D> tree_;
};

}  // namespace sdlora
