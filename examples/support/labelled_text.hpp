#pragma once

#include <filesystem>
#include <sdlora/error.hpp>
#include <sdlora/io/jsonl.hpp>
#include <string>
#include <vector>

namespace sdlora::examples {

/// A text and the name of its class.
struct LabelledText {
  std::string text;
  std::string label;
};

/// Reads the lines {"prompt": text, "completion": label} of a JSONL file. FileError where a field is missing
/// or empty, or the file is not JSONL.
inline std::vector<LabelledText> read_labelled_texts(const std::filesystem::path& path) {
  std::vector<LabelledText> texts;
  for_each_json_line(path, [&](const JsonObject& line, const std::string&) {
    texts.push_back({line.required<std::string>("prompt"), line.required<std::string>("completion")});
    if (texts.back().label.empty()) line.fail("completion", "expected the name of a class, found nothing");
  });
  return texts;
}

}  // namespace sdlora::examples
