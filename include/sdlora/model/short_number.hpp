#pragma once

#include <charconv>
#include <string>

namespace sdlora::detail {

/// The shortest decimal text that reads back as the same double: for messages, and where it is finite
/// for JSON.
inline std::string short_number(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, result.ptr};
}

}  // namespace sdlora::detail
