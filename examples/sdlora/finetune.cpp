// Fine-tunes any Mamba checkpoint on JSONL data and writes the adapter.
#include <sdlora/io/adapter.hpp>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/io/folder_lock.hpp>
#include <sdlora/io/peft_export.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <sdlora/training/run_identity.hpp>
#include <sdlora/training/select_dimensions.hpp>
#include <sdlora/training/settings.hpp>
#include <sdlora/training/trainer.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "finetune_report.hpp"
#include "support/data_flags.hpp"
#include "support/from_adapter.hpp"
#include "support/method_flags.hpp"
#include "support/placements.hpp"
#include "support/run_folder.hpp"
#include "support/saved_selection.hpp"
#include "support/site_flags.hpp"
#include "support/text.hpp"
#include "support/training_flags.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;

/// FileError where a run's files could not be written: before the training, which may take hours. `report`
/// may be empty: none.
void require_writable(const std::filesystem::path& out, const std::filesystem::path& report) {
  for (const char* name : {"adapter.safetensors", "metrics.jsonl", "checkpoint/checkpoint.safetensors"}) {
    const AtomicFile dropped(out / name);
  }
  if (!report.empty()) const AtomicFile dropped(report);
}

/// What would be lost or mixed with an adapter in `out` is refused, before anything is read or written.
void require_own_folder(const std::filesystem::path& out, bool resume) {
  examples::require_no_model(out, "choose another --out, so that the adapter does not lie among its files");
  if (examples::has_checkpoint(out, resume)) return;
  // Without its checkpoint nothing says that this run has made it.
  if (const auto adapter = out / "adapter.safetensors"; std::filesystem::exists(adapter)) {
    throw FileError(adapter.string(), "",
                    "is the adapter of an earlier run; remove it, or choose another --out");
  }
}

/// Says before the training what `sdlora export` would refuse after it.
void note_peft_obstacles(const examples::CommandLine& command,
                         const examples::Placements::model_type& model) {
  std::vector<std::pair<std::string, std::string>> sites_by_reason;
  for (const auto& [site, reason] : peft_obstacles(model)) {
    const auto known = std::find_if(sites_by_reason.begin(), sites_by_reason.end(),
                                    [&](const auto& each) { return each.first == reason; });
    if (known == sites_by_reason.end()) {
      sites_by_reason.emplace_back(reason, site);
    } else {
      known->second += ", " + site;
    }
  }
  for (const auto& [reason, sites] : sites_by_reason)
    command.note("sdlora export cannot write " + sites + " for peft: " + reason);
}

}  // namespace

int sdlora::commands::finetune(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, data_path, evaluation_path, out, report;
  std::string placement = "sdlora";
  TrainerOptions options{.learning_rate = 1e-3};
  std::size_t epochs = 0;
  SelectionCriterion selection_score = SelectionCriterion::Change;
  std::size_t selection_steps = 500, selection_epochs = 0;
  command.option("--model", model_directory, "checkpoint directory: config.json and safetensors").required();
  command.option("--data", data_path, examples::data_help).required();
  command.option("--eval", evaluation_path, "data to report the loss on");
  const examples::DataFlags data_flags(command);
  command.option("--out", out, "directory of the adapter to write").required();
  std::string placements;
  for (const auto& choice : examples::Placements::all()) {
    if (choice.name != "frozen") placements += "\n  " + choice.name + ": " + choice.description;
  }
  const auto placement_option = command.option("--placement", placement, "what learns:" + placements);
  const examples::FromAdapter from(command);
  const examples::MethodFlags method_flags(command);
  const examples::SiteFlags site_flags(command);
  const auto selection_steps_option =
      command.option("--selection-steps", selection_steps, "of SDLoRA's first phase").at_least_one();
  const auto selection_epochs_option =
      command.option("--selection-epochs", selection_epochs, "passes over the data instead of these steps")
          .excludes(selection_steps_option)
          .at_least_one()
          .without_default();
  const auto selection_score_option = command.option(
      "--selection-score", selection_score,
      "what dimensions are ranked by: change or decay after these steps; without training, "
      "magnitude, gradient, gradient-weight, fisher or gain over as many batches of one pass, or "
      "ablation");
  const auto epochs_option = command.option("--epochs", epochs, "passes over the data (1 unless --steps)")
                                 .at_least_one()
                                 .without_default();
  command.option("--steps", options.steps, "instead of epochs")
      .excludes(epochs_option)
      .at_least_one()
      .without_default();
  examples::add_training_flags(command, options, {"steps"});
  command.option("--evaluate-every", options.evaluate_every,
                 "steps between looks at --eval; 0: after every epoch");
  examples::add_evaluation_flags(command, options);
  const examples::WeightsFlag weights(command);
  command.threads();
  command.option("--checkpoint-every", options.checkpoint_every, "steps; 0: after every epoch");
  command.flag("--resume", options.resume, "go on from the last checkpoint in OUT");
  command.option("--report", report,
                 "page of the run to write at its end, as HTML: curves, figures, selection and settings");
  command.examples(
      "sdlora finetune --model mamba-130m-hf --data train.jsonl --eval dev.jsonl --out my-adapter\n"
      "sdlora finetune --config run.toml --resume");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    const DatasetOptions data_options = data_flags.options();
    examples::require_training_flags(options);
    if (evaluation_path.empty() && (options.keep_best || options.patience != 0)) {
      throw ArgumentError(std::string(options.keep_best ? "--keep-best" : "--patience") +
                          ": expected --eval beside it, found none; give both");
    }
    options.progress = !command.is_quiet();
    options.epochs = epochs == 0 ? 1 : epochs;
    AdapterOptions adapter = method_flags.options();
    adapter.seed = options.seed;
    from.require();
    if (from.given()) {
      const AdapterDescription beginning = from.description();
      const std::string name = from.placement_name(beginning);
      // Names may differ by the first phase alone, which a run from an adapter has not.
      if (placement_option.given() &&
          examples::Placements::find(placement).placement != beginning.placement) {
        throw ArgumentError("--placement: expected " + name + " as in the adapter " +
                            from.directory().string() + ", found " + placement +
                            "; leave it out, or begin without --from-adapter");
      }
      if (!placement_option.given()) placement = name;
      method_flags.require_as_in(from.directory().string(), beginning.placement, beginning.options);
    }
    const auto& choice = examples::Placements::find(placement);
    if (choice.name == "frozen") throw ArgumentError("--placement frozen trains nothing; choose another");
    require_own_folder(out, options.resume);
    if (!report.empty())
      commands::require_own_report(report, out, options.resume, {data_path, evaluation_path});
    const CheckpointConfig config = read_base_config(model_directory);
    site_flags.apply(choice.placement, config.n_layer, adapter, options.groups);
    if (from.given() && !adapter.layers.empty()) from.require_layers(adapter.layers);
    const JsonlDataset data = examples::open_data(data_path, model_directory, config, data_options);
    std::optional<JsonlDataset> evaluation;
    if (!evaluation_path.empty())
      evaluation = examples::open_data(evaluation_path, model_directory, config, data_options);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    command.note(data.report());
    if (evaluation) command.note(evaluation->report());
    auto without_use = method_flags.without_use(choice.placement);
    const std::vector of_selection{selection_steps_option, selection_epochs_option, selection_score_option};
    if (!choice.selects) without_use.insert(without_use.end(), of_selection.begin(), of_selection.end());
    examples::report_without_effect("under placement " + choice.name + " (" + choice.placement + ")",
                                    without_use);
    if (choice.selects && from.given())
      examples::report_without_effect("with --from-adapter, whose selection is kept", of_selection);
    const examples::NewFolder folder(out / "checkpoint");
    const FolderLock lock(out);
    // What a killed run left half-written beside the names that it writes.
    for (const char* name : {"adapter.safetensors", "metrics.jsonl", "checkpoint/selection.json"})
      remove_leftovers(out / name);
    examples::begin_run(out, options.resume);

    Selection selection;
    if (choice.selects && !from.given()) {
      // The first phase is not repeated when a run resumes.
      const std::filesystem::path file = out / "checkpoint" / "selection.json";
      SelectionOptions first_phase;
      copy_settings(options, first_phase);
      first_phase.criterion = selection_score;
      first_phase.steps = selection_epochs == 0 ? selection_steps : 0;
      first_phase.epochs = selection_epochs;
      first_phase.warm_up_steps = 0;  // of the run's steps, of which these are not
      first_phase.adapters = adapter;
      first_phase.progress = options.progress;
      selection = examples::select_or_read(
          file, options.resume, base->dimensions(),
          selection_identity(*base, choice.placement, data, first_phase), [&] {
            require_writable(out, report);
            return examples::Placements::select(choice.name, base, data.examples(), first_phase);
          });
    }
    const auto model = from.given() ? from.load(base, options.seed)
                                    : examples::Placements::make(choice.name, base, selection, adapter);
    if (from.given()) options.initial_values = from.name_of_values(*model);
    command.note(choice.name + ": " + std::to_string(model->parameters().size()) + " of " +
                 std::to_string(model->total_parameters()) + " parameters learn (" +
                 commands::share_of(model->parameters().size(), model->total_parameters()) + ")");
    note_peft_obstacles(command, *model);
    options.checkpoint_directory = out / "checkpoint";
    options.log_path = out / "metrics.jsonl";
    Trainer trainer{*model, options};
    require_writable(out, report);
    examples::train_in(out, options.resume, [&] {
      const TrainingReport run = evaluation ? trainer.fit(data, *evaluation) : trainer.fit(data);
      save_adapter(*model, out);
      if (report.empty()) return;
      write_file(report, commands::report_of(run,
                                             {.model = *model,
                                              .base = *base,
                                              .data = data.examples(),
                                              .title = choice.name + " on " + model_directory.string(),
                                              .placement = choice.name,
                                              .continues_adapter = from.given()},
                                             options, command, method_flags));
    });
    command.note("adapter written to " + out.string());
    if (!report.empty()) command.note("report written to " + report.string());
  });
}
