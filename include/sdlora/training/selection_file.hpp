#pragma once

#include "../adapters/selection.hpp"
#include "../error.hpp"
#include "../io/atomic_file.hpp"
#include "../io/json.hpp"
#include "../io/selection_json.hpp"
#include "run_identity.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace sdlora {

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
                       "},\n  \"selection\": " + selection_text(selection) + "\n}\n");
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
    std::string text;
    detail::require_same_run(path.string(), "field run.", "selection", run, [&](const std::string& key) {
      if (!found.contains(key)) return static_cast<const std::string*>(nullptr);
      text = found.required<std::string>(key);
      return static_cast<const std::string*>(&text);
    });
  }
  Selection selection = parse_selection(json, static_cast<std::size_t>(-1));
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
