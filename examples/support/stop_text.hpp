#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace sdlora::examples {

/// Ends a text that comes in pieces where `stop` first comes in it; an empty one never does. What may be the
/// beginning of `stop` is held back.
class StopText {
 public:
  explicit StopText(std::string stop) : stop_(std::move(stop)) {}

  /// Takes a piece; returns what is known to stand before `stop`.
  std::string push(std::string_view piece) {
    if (found_) return {};
    held_ += piece;
    if (stop_.empty()) return std::exchange(held_, {});
    const std::size_t at = held_.find(stop_);
    found_ = at != std::string::npos;
    std::size_t shown = found_ ? at : held_.size() - beginning();
    std::string result = held_.substr(0, shown);
    held_.erase(0, shown);
    return result;
  }

  bool found() const { return found_; }

  /// What is held back at the end of all pieces.
  std::string finish() { return found_ ? std::string() : std::exchange(held_, {}); }

 private:
  /// The length of the longest end of what is held that `stop` begins with.
  std::size_t beginning() const {
    for (std::size_t length = std::min(held_.size(), stop_.size() - 1); length > 0; --length) {
      if (std::string_view(held_).ends_with(std::string_view(stop_).substr(0, length))) return length;
    }
    return 0;
  }

  std::string stop_, held_;
  bool found_ = false;
};

}  // namespace sdlora::examples
