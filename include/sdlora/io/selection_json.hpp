#pragma once

#include "../adapters/selection.hpp"
#include "json.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sdlora {

namespace detail {

template <class Values>
std::string json_list(const Values& values) {
  std::string text = "[";
  for (const auto& value : values) text += (text.size() == 1 ? "" : ", ") + std::to_string(value);
  return text + "]";
}

}  // namespace detail

/// The layers of a selection as a JSON list.
inline std::string selection_text(const Selection& selection) {
  std::string layers;
  for (const LayerSelection& layer : selection.layers) {
    layers += (layers.empty() ? "\n    " : ",\n    ") + std::string("{\"channels\": ") +
              detail::json_list(layer.channels) + ", \"states\": " + detail::json_list(layer.states) + "}";
  }
  return "[" + layers + "]";
}

/// Reads the list under "selection"; its indices are not checked yet. At most `layers` of them.
inline Selection parse_selection(const JsonObject& json, std::size_t layers) {
  const nlohmann::json* list = json.find("selection");
  if (list == nullptr || !list->is_array() || list->size() > layers) {
    json.fail("selection", "expected a list of at most " + std::to_string(layers) +
                               " objects, one for each layer; write the file anew");
  }
  Selection selection;
  for (std::size_t l = 0; l < list->size(); ++l) {
    const JsonObject layer((*list)[l], json.file(),
                           json.path_of("selection") + "[" + std::to_string(l) + "]");
    selection.layers.push_back({layer.required<std::vector<std::uint32_t>>("channels"),
                                layer.required<std::vector<std::uint32_t>>("states")});
  }
  return selection;
}

}  // namespace sdlora
