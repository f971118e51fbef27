#include "target.hpp"

#include <sdlora/io/base_checkpoint.hpp>

namespace fuzz_base_checkpoint {

using namespace sdlora;

/// A line of config.json, then model.safetensors.
void read(std::string_view input) {
  fuzz::write("config.json", fuzz::first_line(input));
  fuzz::write("model.safetensors", input);
  const auto base = load_base<presets::AnyMamba>(fuzz::folder());
  (void)load_base<presets::AnyMamba>(fuzz::folder(), {.weights = StoredType::BFloat16});
}

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const std::string name : {"one_layer", "falcon_mamba_tied", "biases"}) {
    all.push_back(fuzz::with_line(fuzz::content(fuzz::reference((name + "/config.json").c_str())),
                                  fuzz::content(fuzz::reference((name + "/model.safetensors").c_str()))));
  }
  return all;
}

[[maybe_unused]] const bool added =
    fuzz::add({"base_checkpoint", fuzz::Parts::json_and_safetensors, read, seeds});

}  // namespace fuzz_base_checkpoint
