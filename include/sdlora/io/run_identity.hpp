#pragma once

#include "../error.hpp"
#include "../model/example.hpp"
#include "../model/fingerprint.hpp"
#include "json.hpp"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// What a run is, as named texts: its base, placement, data, every option that decides a number. A
/// file that a run goes on from belongs to exactly one of them.
using RunIdentity = std::vector<std::pair<std::string, std::string>>;

namespace detail {

/// Training data in a RunIdentity.
inline std::string data_text(std::span<const Example> examples) {
  return std::to_string(examples.size()) + " examples " + fingerprint_text(fingerprint(examples));
}

/// Throws FileError where a file is of another run than `expected`. `found(key)` is the text that the
/// file holds, `place` what comes before the key where it stands, `what` the thing in the file.
template <class Found>
void require_same_run(const std::string& file, const std::string& place, const std::string& what,
                      const RunIdentity& expected, const Found& found) {
  for (const auto& [key, text] : expected) {
    const std::string other = found(key);
    if (other == text) continue;
    throw FileError(file, place + key,
                    "the " + what + " is of a run with " + key + " = " + in_quotes(other) +
                        ", this one has " + in_quotes(text) +
                        "; resume with the base, data and settings of that run, or begin anew in another "
                        "directory");
  }
}

}  // namespace detail

}  // namespace sdlora
