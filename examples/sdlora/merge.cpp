// Adds an adapter to its base's weights and writes a plain checkpoint, which `transformers` loads.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/folder_lock.hpp>
#include <sdlora/io/tokenizer_files.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/placements.hpp"
#include "support/run_folder.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;

Dtype merged_dtype(const std::string& name) {
  if (name == "float32") return Dtype::F32;
  if (name == "bfloat16") return Dtype::BF16;
  throw ArgumentError("--dtype: expected float32 or bfloat16, found '" + name + "'");
}

}  // namespace

int sdlora::commands::merge(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, out;
  std::string dtype = "float32";
  command.option("--model", model_directory, "checkpoint directory of the base").required();
  examples::AdapterFlags adapter(command);
  adapter.required();
  command.option("--out", out, "directory of the merged checkpoint to write").required();
  command.option("--dtype", dtype, "of the weights: float32, or bfloat16, rounded once from the sums");
  const examples::WeightsFlag weights(command);
  command.examples("sdlora merge --model mamba-130m-hf --adapter my-adapter --out merged --dtype bfloat16");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    SaveBaseOptions options{.dtype = merged_dtype(dtype)};
    examples::require_no_model_or_base(out, model_directory);
    examples::require_no_run(out);
    const CheckpointConfig config = read_base_config(model_directory);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto merged = adapter.load(base)->merged();
    if (base->dimensions().tied_head && !merged->dimensions().tied_head) {
      throw FileError(
          adapter.directory().string(), "",
          "acts on the embedding or the head alone, which the base ties together; merged, they would be two "
          "tensors where the base has one: give the folder to sdlora generate and score as --adapter");
    }
    const examples::NewFolder folder(out);
    const FolderLock lock(out);
    examples::remove_model_leftovers(out);
    // Before config.json, which makes a checkpoint of the folder.
    const std::vector<std::string> files = copy_tokenizer_files(model_directory, out);
    options.tokenizer = config.tokenizer;
    options.token_ids = config.token_ids;
    options.unpadded_vocab_size = config.unpadded_vocab_size;
    save_base(*merged, out, options);
    command.note("merged checkpoint written to " + out.string());
    if (!config.tokenizer && std::find(files.begin(), files.end(), "tokenizer.json") == files.end()) {
      std::fprintf(stderr,
                   "%s has no tokenizer.json: copy the model's tokenizer files into %s, for without them "
                   "Python gets an empty tokenizer\n",
                   model_directory.c_str(), out.c_str());
    }
  });
}
