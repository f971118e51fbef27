#pragma once

#include "support.hpp"
#include "support/reference_adapters.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/io/peft_adapter.hpp>
#include <sdlora/io/safetensors_writer.hpp>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

// Adapters of peft's format, as they are and changed.
namespace sdlora_test {

/// The parts of such an adapter, to be changed and written again.
struct PeftParts {
  nlohmann::json config;
  std::map<std::string, std::pair<std::vector<std::size_t>, std::vector<double>>> tensors;

  explicit PeftParts(const std::filesystem::path& folder)
      : config(nlohmann::json::parse(test::content(folder / "adapter_config.json"))) {
    const sdlora::TensorFile file = sdlora::TensorFile::open(folder / "adapter_model.safetensors");
    for (const std::string& name : file.names())
      tensors[name] = {file.info(name).shape, file.read<double>(name)};
  }
  void write(const std::filesystem::path& folder) const {
    std::ofstream(folder / "adapter_config.json") << config.dump();
    sdlora::SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors)
      writer.add(name, sdlora::Dtype::F64, tensor.first, std::span<const double>(tensor.second));
    writer.save(folder / "adapter_model.safetensors");
  }
  /// Renames a tensor.
  void rename(const std::string& from, const std::string& to) {
    auto node = tensors.extract(from);
    REQUIRE(!node.empty());
    node.key() = to;
    tensors.insert(std::move(node));
  }
};

/// Of the reference's two_layers.
template <class T>
std::shared_ptr<const sdlora::Base<sdlora::presets::AnyMamba, T>> peft_base() {
  return sdlora::load_base<sdlora::presets::AnyMamba, T>(Reference::path_of("two_layers"));
}

/// Logits of the batch of a dump under a base as it is.
template <class T>
std::vector<double> plain_logits(
    const std::shared_ptr<const sdlora::Base<sdlora::presets::AnyMamba, T>>& base,
    const sdlora::Batch& batch) {
  const sdlora::MambaModel<sdlora::presets::AnyMamba, sdlora::presets::NothingTrains, T> model(base);
  return Outputs(model, batch).logits;
}

inline const std::string peft_layer(std::size_t l) {
  return "base_model.model.backbone.layers." + std::to_string(l) + ".mixer.";
}

}  // namespace sdlora_test
