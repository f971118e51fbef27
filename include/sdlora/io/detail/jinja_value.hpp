#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../error.hpp"

// The values of a template of Jinja (jinja_template.hpp), the variables that hold them, and what is done to
// values.

namespace sdlora::detail::jinja {

struct Value;
using List = std::vector<Value>;
using Record = std::map<std::string, Value, std::less<>>;

/// A value of a template. Lists and records are shared and never changed.
struct Value {
  enum class Kind : std::uint8_t { undefined, none, boolean, number, text, list, record };

  Value() = default;
  explicit Value(bool value) : kind(Kind::boolean), number(value ? 1 : 0) {}
  explicit Value(std::int64_t value) : kind(Kind::number), number(value) {}
  explicit Value(std::string value) : kind(Kind::text), text(std::move(value)) {}
  explicit Value(List value) : kind(Kind::list), list(std::make_shared<const List>(std::move(value))) {}
  explicit Value(Record value)
      : kind(Kind::record), record(std::make_shared<const Record>(std::move(value))) {}
  static Value none() {
    Value value;
    value.kind = Kind::none;
    return value;
  }

  bool is(Kind other) const { return kind == other; }
  bool truth() const {
    switch (kind) {
      case Kind::boolean:
      case Kind::number:
        return number != 0;
      case Kind::text:
        return !text.empty();
      case Kind::list:
        return !list->empty();
      case Kind::record:
        return !record->empty();
      default:
        return false;
    }
  }
  friend bool operator==(const Value& a, const Value& b) {
    const auto numeric = [](const Value& v) { return v.is(Kind::number) || v.is(Kind::boolean); };
    if (numeric(a) && numeric(b)) return a.number == b.number;
    if (a.kind != b.kind) return false;
    if (a.is(Kind::text)) return a.text == b.text;
    if (a.is(Kind::list)) return *a.list == *b.list;
    if (a.is(Kind::record)) return *a.record == *b.record;
    return true;
  }

  Kind kind = Kind::undefined;
  std::int64_t number = 0;
  std::string text = {};
  std::shared_ptr<const List> list = {};
  std::shared_ptr<const Record> record = {};
};

/// The variables, inner ones last, and what has been written.
class Context {
 public:
  explicit Context(Record variables) { scopes_.push_back(std::move(variables)); }

  Value get(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return counted(found->second);
    }
    return {};
  }
  void set(const std::string& name, Value value) {
    scopes_.back().insert_or_assign(name, counted(std::move(value)));
  }
  void enter() { scopes_.emplace_back(); }
  void leave() { scopes_.pop_back(); }

  void write(std::string_view text) {
    count(text.size());
    out_ += text;
  }
  const std::string& out() const { return out_; }

  /// Counts bytes of texts that are made and of tags that are run, so that a template ends that would take a
  /// machine's memory or hours. ArgumentError where there are too many.
  void count(std::size_t bytes) const {
    if (bytes > most_ - done_)
      throw ArgumentError("the template takes more than 64 MiB of tags and texts for one conversation");
    done_ += bytes;
  }
  Value counted(Value value) const {
    count(value.text.size());
    return value;
  }

 private:
  static constexpr std::size_t most_ = std::size_t{64} << 20;
  std::vector<Record> scopes_;
  std::string out_;
  mutable std::size_t done_ = 0;
};

using Expression = std::function<Value(const Context&)>;
using Statement = std::function<void(Context&)>;

[[noreturn]] inline void refuse(const std::string& what) { throw ArgumentError("the template " + what); }

inline std::string stripped(std::string_view text, bool left = true, bool right = true) {
  constexpr std::string_view space = " \t\n\r\f\v";
  while (left && !text.empty() && space.find(text.front()) != std::string_view::npos) text.remove_prefix(1);
  while (right && !text.empty() && space.find(text.back()) != std::string_view::npos) text.remove_suffix(1);
  return std::string(text);
}

/// As `{{ value }}` writes it.
inline std::string written(const Value& value) {
  switch (value.kind) {
    case Value::Kind::undefined:
      return {};
    case Value::Kind::text:
      return value.text;
    case Value::Kind::number:
      return std::to_string(value.number);
    case Value::Kind::boolean:
      return value.number != 0 ? "True" : "False";
    case Value::Kind::none:
      return "None";
    default:
      refuse("writes a list or a message as a whole, which is not read here");
  }
}

inline Value member(const Value& of, const Value& key) {
  if (of.is(Value::Kind::record) && key.is(Value::Kind::text)) {
    const auto found = of.record->find(key.text);
    return found == of.record->end() ? Value() : found->second;
  }
  if (of.is(Value::Kind::list) && key.is(Value::Kind::number)) {
    const auto size = static_cast<std::int64_t>(of.list->size());
    const std::int64_t at = key.number < 0 ? key.number + size : key.number;
    return at < 0 || at >= size ? Value() : (*of.list)[static_cast<std::size_t>(at)];
  }
  if (of.is(Value::Kind::undefined)) refuse("takes a part of something that is not there");
  return {};
}

inline Value slice(const Value& of, const Value& from, const Value& to) {
  if (!of.is(Value::Kind::list)) refuse("takes a slice of something that is no list");
  const auto size = static_cast<std::int64_t>(of.list->size());
  const auto place = [&](const Value& value, std::int64_t otherwise) {
    if (!value.is(Value::Kind::number)) return otherwise;
    return std::clamp<std::int64_t>(value.number < 0 ? value.number + size : value.number, 0, size);
  };
  const std::int64_t first = place(from, 0), last = std::max(first, place(to, size));
  return Value(List(of.list->begin() + first, of.list->begin() + last));
}

}  // namespace sdlora::detail::jinja
