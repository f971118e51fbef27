#pragma once

#include "../adapters/selection.hpp"
#include "atomic_file.hpp"
#include "json.hpp"
#include "run_identity.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
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

/// The layers of a selection as a JSON list.
inline std::string selection_text(const Selection& selection) {
  std::string layers;
  for (const LayerSelection& layer : selection.layers) {
    layers += (layers.empty() ? "\n    " : ",\n    ") + std::string("{\"channels\": ") +
              json_list(layer.channels) + ", \"states\": " + json_list(layer.states) + "}";
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

}  // namespace detail

/// Writes a selection as JSON, atomically, and with it the run that made it (`selection_identity`).
/// Throws FileError.
inline void write_selection(const std::filesystem::path& path, const Selection& selection,
                            const RunIdentity& run = {}) {
  std::string fields;
  for (const auto& [key, text] : run) {
    fields += (fields.empty() ? "\n    " : ",\n    ") + json_string(key) + ": " + json_string(text);
  }
  write_file(path, "{\n  \"d_inner\": " + std::to_string(selection.d_inner) +
                       ",\n  \"d_state\": " + std::to_string(selection.d_state) + ",\n  \"run\": {" + fields +
                       "},\n  \"selection\": " + detail::selection_text(selection) + "\n}\n");
}

/// Reads a selection for SSMs of d_inner channels and d_state states. Throws FileError, also where it
/// was made by a run that differs from `run` in anything that is named there.
inline Selection read_selection(const std::filesystem::path& path, std::size_t d_inner, std::size_t d_state,
                                const RunIdentity& run = {}) {
  const nlohmann::json document = read_json(path);
  const JsonObject json(document, path.string());
  for (const auto& [key, expected] : {std::pair{"d_inner", d_inner}, std::pair{"d_state", d_state}}) {
    if (const auto found = json.required<std::size_t>(key); found != expected) {
      json.fail(key, "expected " + std::to_string(expected) + " as in the base, found " +
                         std::to_string(found) + "; give the base that the selection was made on");
    }
  }
  if (!run.empty()) {
    if (!json.contains("run")) {
      json.fail("run",
                "missing, so nothing says which run made the selection; remove the file to select anew");
    }
    const JsonObject found = json.object("run");
    detail::require_same_run(path.string(), "field run.", "selection", run,
                             [&](const std::string& key) { return found.required<std::string>(key); });
  }
  Selection selection = detail::parse_selection(json, static_cast<std::size_t>(-1));
  selection.d_inner = d_inner;
  selection.d_state = d_state;
  try {
    selection.validate();
  } catch (const ArgumentError& error) {
    throw FileError(path.string(), "selection", error.what());
  }
  return selection;
}

}  // namespace sdlora
