#pragma once

#include "version.hpp"

#include <charconv>
#include <cstddef>
#include <string>

namespace sdlora::detail {

/// The shortest decimal text that reads back as the same double: for messages, and where it is finite
/// for JSON.
inline std::string short_number(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, result.ptr};
}

/// 455328 as "455,328".
inline std::string grouped_digits(std::size_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3;) text.insert(i -= 3, 1, ',');
  return text;
}

}  // namespace sdlora::detail
