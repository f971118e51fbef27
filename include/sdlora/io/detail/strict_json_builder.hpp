#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../utf8.hpp"

namespace sdlora::detail {

/// Reads characters and tells outside how far it has come: the SAX interface does not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) { return a.at_ == b.at_; }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** seen_;
};

/// Builds the document; stops at equal keys, depth and size, which nlohmann itself lets pass.
class StrictJsonBuilder {
  using Kind = nlohmann::json::value_t;

 public:
  /// The most arrays and objects inside each other, and the most values in all.
  StrictJsonBuilder(std::size_t max_depth, std::size_t max_values)
      : max_depth_(max_depth), max_values_(max_values) {}

  bool null() { return put(Kind::null) != nullptr; }
  bool boolean(bool value) { return set(Kind::boolean, value); }
  bool number_integer(std::int64_t value) { return set(Kind::number_integer, value); }
  bool number_unsigned(std::uint64_t value) { return set(Kind::number_unsigned, value); }
  bool number_float(double value, const std::string&) { return set(Kind::number_float, value); }
  bool string(std::string& value) { return set(Kind::string, std::move(value)); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Kind::object); }
  bool start_array(std::size_t) { return open(Kind::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto& object = open_.back()->get_ref<nlohmann::json::object_t&>();
    const auto [place, inserted] = object.try_emplace(std::move(name));
    if (!inserted) {
      error_ = "the key " + in_quotes(place->first) + " stands twice in one object; keep one of them";
      return false;
    }
    slot_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
    std::string_view text = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: the part of interest"
    if (const auto id = text.find("] "); id != std::string_view::npos) text.remove_prefix(id + 2);
    constexpr std::string_view head = "parse error";
    if (text.starts_with(head)) {
      if (const auto colon = text.find(": "); colon != std::string_view::npos) text.remove_prefix(colon + 2);
    }
    error_ = "expected strict JSON: " + printable(text, 240) + "; correct the text at this place";
    return false;
  }

  const std::string& error() const { return error_; }
  nlohmann::json take() { return std::move(root_); }

 private:
  /// The place of the next value, made an empty one of its kind.
  nlohmann::json* put(Kind kind) {
    if (++values_ > max_values_) {
      error_ = "more than " + std::to_string(max_values_) +
               " JSON values, the most that is read here; this cannot be the file that was meant";
      return nullptr;
    }
    nlohmann::json* target = &root_;
    if (!open_.empty()) {
      if (open_.back()->is_array()) {
        target = &open_.back()->get_ref<nlohmann::json::array_t&>().emplace_back();
      } else {
        target = slot_;
      }
    }
    *target = nlohmann::json(kind);
    return target;
  }

  /// Through the kind and not json's constructor from T, which takes long to compile.
  template <class T>
  bool set(Kind kind, T value) {
    nlohmann::json* target = put(kind);
    if (target == nullptr) return false;
    *target->template get_ptr<T*>() = std::move(value);
    return true;
  }

  bool open(Kind kind) {
    if (open_.size() >= max_depth_) {
      error_ = "arrays and objects nested deeper than " + std::to_string(max_depth_) +
               ", the most that is read here; this cannot be the file that was meant";
      return false;
    }
    nlohmann::json* target = put(kind);
    if (target != nullptr) open_.push_back(target);
    return target != nullptr;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::size_t max_depth_;
  std::size_t max_values_;
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // the arrays and objects around the current place
  nlohmann::json* slot_ = nullptr;     // where the value of the current key goes
  std::size_t values_ = 0;
  std::string error_;
};

}  // namespace sdlora::detail
