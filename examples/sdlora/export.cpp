// Writes an adapter in the format of another library, which loads it with the same logits.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/folder_lock.hpp>
#include <sdlora/io/peft_export.hpp>

#include <filesystem>
#include <string>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/placements.hpp"
#include "support/run_folder.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;

/// What would stand beside an adapter of peft in `out` or be replaced is refused.
void require_no_adapter(const std::filesystem::path& out) {
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "adapter.safetensors"}) {
    if (!std::filesystem::exists(out / name)) continue;
    throw FileError(
        out.string(), "",
        std::string("holds an adapter already (") + name + "); remove it, or choose another --out");
  }
}

}  // namespace

int sdlora::commands::export_adapter(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, out;
  std::string format = "peft", base_name;
  command.option("--model", model_directory, "checkpoint directory of the base").required();
  examples::AdapterFlags adapter(command);
  adapter.required();
  command.option("--out", out, "directory of the adapter to write").required();
  command.option("--format", format, "peft: adapter_config.json and adapter_model.safetensors");
  command.option("--base-name", base_name, "of the base in adapter_config.json, a path or a name on the hub")
      .without_default();
  const examples::WeightsFlag weights(command);
  command.examples("sdlora export --model mamba-130m-hf --adapter my-adapter --out for-peft");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    if (format != "peft") throw ArgumentError("--format: expected peft, found '" + format + "'");
    if (is_peft_adapter(adapter.directory())) {
      throw FileError(adapter.directory().string(), "", "is in peft's format as it is; copy it");
    }
    examples::require_no_model_or_base(out, model_directory);
    require_no_adapter(out);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto model = adapter.load(base);
    const examples::NewFolder folder(out);
    const FolderLock lock(out);
    save_peft_adapter(*model, out, base_name.empty() ? model_directory.string() : base_name);
    command.note("adapter for peft written to " + out.string());
  });
}
