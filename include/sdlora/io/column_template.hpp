#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "utf8.hpp"

namespace sdlora {

/// Text with names of columns in braces, "Question: {question}\nAnswer:", to be filled for each row.
/// `{{` and `}}` are braces; `\n`, `\t` and `\\` are what they are in C, for command lines.
class ColumnTemplate {
 public:
  ColumnTemplate() = default;

  /// ArgumentError where braces do not match or a name is empty.
  explicit ColumnTemplate(std::string_view text) {
    std::string plain;
    const auto fail = [&](const std::string& found) {
      throw ArgumentError("template " + detail::in_quotes(text) +
                          ": expected columns as {name}, and braces that stand for themselves twice, found " +
                          found + "; correct it");
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i], next = i + 1 < text.size() ? text[i + 1] : '\0';
      if ((c == '{' || c == '}') && next == c) {
        plain += c;
        ++i;
      } else if (c == '\\' && (next == 'n' || next == 't' || next == '\\')) {
        plain += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
        ++i;
      } else if (c == '{') {
        const std::size_t end = text.find_first_of("{}", i + 1);
        if (end == std::string_view::npos || text[end] == '{') fail("a { without its }");
        const std::string_view name = text.substr(i + 1, end - i - 1);
        if (name.empty()) fail("{}");
        parts_.emplace_back(std::move(plain), std::string(name));
        plain.clear();
        i = end;
      } else if (c == '}') {
        fail("a } without its {");
      } else {
        plain += c;
      }
    }
    end_ = std::move(plain);
  }

  bool empty() const { return parts_.empty() && end_.empty(); }

  /// The names in it, in order.
  std::vector<std::string> columns() const {
    std::vector<std::string> names;
    names.reserve(parts_.size());
    for (const auto& [before, name] : parts_) names.push_back(name);
    return names;
  }

  /// The text with `value(name)` for every name.
  std::string fill(const std::function<std::string(const std::string&)>& value) const {
    std::string text;
    for (const auto& [before, name] : parts_) text += before + value(name);
    return text + end_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> parts_;  // text and the column behind it
  std::string end_;
};

}  // namespace sdlora
