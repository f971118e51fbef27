// Adds an adapter to its base's weights and writes a plain checkpoint, which `transformers` loads.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/folder_lock.hpp>

#include <cstdio>
#include <filesystem>

#include "support/command_line.hpp"
#include "support/placements.hpp"
#include "support/run_folder.hpp"

int main(int argc, char** argv) {
  using namespace sdlora;
  std::filesystem::path model_directory, adapter, out;
  examples::CommandLine command("merge", "Merges an adapter into its base checkpoint");
  command.option("--model", model_directory, "checkpoint directory of the base").required();
  command.option("--adapter", adapter, "adapter directory").required();
  command.option("--out", out, "directory of the merged checkpoint to write").required();
  return command.run(argc, argv, [&] {
    examples::require_no_model_or_base(out, model_directory);
    const CheckpointConfig config = read_base_config(model_directory);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory);
    const examples::NewFolder folder(out);
    const FolderLock lock(out);
    examples::remove_model_leftovers(out);
    const auto merged = examples::Placements::load_adapter(base, adapter)->merged();
    save_base(*merged, out, {.tokenizer = config.tokenizer, .end_of_text = config.end_of_text});
    std::fprintf(stderr, "merged checkpoint written to %s\n", out.c_str());
  });
}
