#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdlora {

/// Restricts one site of a placement to the layers [first, last). Fewer values learn then: a model's
/// parameters().size(), where a constant `trainable_parameters` counts every layer.
struct LayerRange {
  std::string site;  ///< a site's name, as "out_proj"
  std::size_t first = 0;
  std::size_t last = to_the_end;

  /// As `last`: up to the model's last layer, however many it has. Any other may not go beyond.
  static constexpr std::size_t to_the_end = static_cast<std::size_t>(-1);
};

/// What a placement leaves open until run time. The sizes matter only where the type says `dyn`.
struct AdapterOptions {
  std::size_t rank = 8;                 ///< of LoRA<dyn>
  double alpha = 0.0;                   ///< LoRA's scale is alpha / rank; 0 means alpha = rank
  double dropout = 0.0;                 ///< probability, on the input of LoRA's A, while training
  std::size_t channels = 0;             ///< of SelectedDimensions<dyn, …>; 0 means 1 % of d_inner
  std::size_t states = 4;               ///< of SelectedDimensions<…, dyn>
  std::size_t prompt_length = 16;       ///< of PromptTuning<dyn> and PrefixTuning<dyn>, in rows
  std::vector<LayerRange> layers = {};  ///< sites not named here learn in every layer
  std::uint64_t seed = 0;               ///< of initialisation and dropout

  /// Whether the site may learn in this layer.
  bool active(std::string_view site, std::size_t layer) const {
    for (const LayerRange& range : layers) {
      if (range.site == site) return layer >= range.first && layer < range.last;
    }
    return true;
  }
};

}  // namespace sdlora
