// Pre-trains a byte-level Mamba on plain text and saves it as a base checkpoint: how examples/base was made.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/io/folder_lock.hpp>
#include <sdlora/io/mapped_file.hpp>
#include <sdlora/training/evaluate.hpp>
#include <sdlora/training/trainer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "support/command_line.hpp"
#include "support/placements.hpp"
#include "support/run_folder.hpp"
#include "support/training_flags.hpp"

namespace {

using namespace sdlora;

/// Cuts text into windows of `length` bytes; documents are separated by NUL, which becomes the end of text.
JsonlDataset windows(const std::filesystem::path& path, std::size_t length) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() < 2) {
    throw FileError(
        file.path(), "",
        "expected text of at least 2 bytes, found " + std::to_string(bytes.size()) + "; give another file");
  }
  length = std::min(length, bytes.size());
  std::vector<Example> examples;
  for (std::size_t first = 0; first + 1 < bytes.size(); first += length) {
    Example example;
    for (std::size_t i = first; i < std::min(bytes.size(), first + length); ++i) {
      const auto byte = static_cast<std::int32_t>(bytes[i]);
      example.ids.push_back(byte == 0 ? ByteTokenizer::end_of_text_id : byte);
    }
    example.labels = example.ids;
    examples.push_back(std::move(example));
  }
  return JsonlDataset::from_examples(std::move(examples));
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path train, heldout, out, from;
  MambaDimensions m{.d_model = 160, .n_layer = 8, .vocab_size = 264, .d_state = 16, .d_conv = 4};
  std::size_t length = 512;
  TrainerOptions options{.epochs = 1,
                         .steps = 4000,
                         .learning_rate = 3e-3,
                         .batch_size = 8,
                         .weight_decay = 0.1,
                         .warm_up_steps = 100,
                         .decay = Decay::Cosine,
                         .checkpoint_every = 200,
                         .beta2 = 0.95};
  examples::CommandLine command("pretrain", "Pre-trains a byte-level Mamba language model on plain text");
  command.option("--text", train, "training text; documents separated by NUL bytes").required();
  command.option("--heldout", heldout, "text to measure bits per byte on").required();
  command.option("--out", out, "directory of the checkpoint to write").required();
  command.option("--base", from, "checkpoint to start from, with its sizes; else random weights");
  const std::vector sizes{command.option("--d-model", m.d_model).at_least_one(),
                          command.option("--layers", m.n_layer).at_least_one()};
  command.option("--length", length, "bytes of a training sequence, at least 2");
  examples::add_training_flags(command, options, {"steps"});
  const auto epochs = command.option("--epochs", options.epochs, "passes over the text, instead of --steps")
                          .at_least_one()
                          .without_default();
  command.option("--steps", options.steps).excludes(epochs).at_least_one();
  command.threads();
  command.flag("--resume", options.resume, "go on from the last checkpoint in OUT/checkpoint");
  return command.run(argc, argv, [&] {
    examples::require_training_flags(options);
    if (length < 2) {
      throw ArgumentError("--length: expected at least 2 bytes, of which the last is learned, found " +
                          std::to_string(length));
    }
    if (epochs.given()) options.steps = 0;
    // What its checkpoint goes on to is the run's own.
    if (!examples::has_checkpoint(out, options.resume)) examples::require_no_model_or_base(out, from);
    if (!from.empty()) {
      require_compatible(ByteTokenizer{}, read_base_config(from));
      examples::report_without_effect("with --base, whose sizes they are", sizes);
    }
    m.dt_rank = automatic_dt_rank(m.d_model);
    m.d_inner = 2 * m.d_model;
    const JsonlDataset text = windows(train, length);
    const JsonlDataset rest = windows(heldout, length);
    const examples::AnyBasePointer base =
        from.empty() ? std::make_shared<const examples::AnyBase>(examples::AnyBase::random(m, options.seed))
                     : load_base<presets::AnyMamba>(from);
    const auto model = examples::Placements::make("full", base, {}, {});
    std::printf("%zu parameters; %zu bytes of text, %zu held out\n", model->total_parameters(), text.tokens(),
                rest.tokens());
    options.checkpoint_directory = out / "checkpoint";
    Trainer trainer{*model, options};
    const examples::NewFolder folder(options.checkpoint_directory);
    const FolderLock lock(out);
    examples::remove_model_leftovers(out);
    examples::begin_run(out, options.resume);
    trainer.fit(text);
    const Loss loss = evaluate_loss(*model, rest);
    const auto trained = model->merged();
    save_base(*trained, out, {.dtype = Dtype::BF16, .tokenizer = "byte", .token_ids = {"256", "256", "256"}});
    std::printf("held out: %.4f bits per byte; written to %s\n", loss.mean() / std::numbers::ln2,
                out.c_str());
  });
}
