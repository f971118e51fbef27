#include "any_adapter.hpp"

#include <cstdio>
#include <sdlora/io/peft_adapter.hpp>
#include <system_error>

namespace sdlora::examples {

std::unique_ptr<Placements::model_type> load_any_adapter(const AnyBasePointer& base,
                                                         const std::filesystem::path& directory,
                                                         BaseFingerprint same) {
  if (!is_peft_adapter(directory)) return Placements::load_adapter(base, directory, same);
  std::error_code none;
  if (std::filesystem::exists(directory / "adapter.safetensors", none)) {
    throw FileError(
        directory.string(), "",
        "holds an adapter of this library (adapter.safetensors) and one of peft (adapter_config.json); "
        "give each a folder of its own");
  }
  return Placements::make("frozen", apply_peft_adapter(*base, directory));
}

AdapterFlags::AdapterFlags(CommandLine& command)
    : option_(command.option("--adapter", directory_, "adapter directory, this library's or peft's")),
      fingerprint_(command, "--adapter") {}

std::unique_ptr<Placements::model_type> AdapterFlags::load(const AnyBasePointer& base) const {
  fingerprint_.require_adapter(given());
  if (!given()) return Placements::make("frozen", base);
  if (fingerprint_.given()) {
    std::fprintf(stderr,
                 is_peft_adapter(directory_)
                     ? "%s is an adapter of peft, which records no base: --ignore-base-fingerprint changes "
                       "nothing\n"
                     : "the base is not compared with the one that %s was trained on\n",
                 directory_.c_str());
  }
  return load_any_adapter(base, directory_, fingerprint_.value());
}

}  // namespace sdlora::examples
