#include "target.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/peft_adapter.hpp>

namespace fuzz_peft {

using namespace sdlora;
using C = presets::AnyMamba;

std::shared_ptr<const Base<C>> base() {
  static const auto loaded = load_base<C>(fuzz::reference("two_layers"));
  return loaded;
}

/// A line of adapter_config.json, then adapter_model.safetensors.
void read(std::string_view input) {
  fuzz::write("adapter_config.json", fuzz::first_line(input));
  fuzz::write("adapter_model.safetensors", input);
  fuzz::accepted([] { (void)load_peft_adapter<MambaModel<C, presets::LoRAPeft<>>>(base(), fuzz::folder()); });
  (void)apply_peft_adapter(*base(), fuzz::folder());
}

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const std::string name : {"lora_peft", "peft_a_log", "peft_dora", "peft_embedding", "peft_rslora"}) {
    all.push_back(
        fuzz::with_line(fuzz::content(fuzz::reference((name + "/adapter_config.json").c_str())),
                        fuzz::content(fuzz::reference((name + "/adapter_model.safetensors").c_str()))));
  }
  return all;
}

[[maybe_unused]] const bool added = fuzz::add({"peft", fuzz::Parts::json_and_safetensors, read, seeds});

}  // namespace fuzz_peft
