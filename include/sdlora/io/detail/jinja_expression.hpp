#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../utf8.hpp"
#include "jinja_value.hpp"

namespace sdlora::detail::jinja {

/// Reads one expression after another from the text inside of a tag.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) { advance(); }

  Expression expression() {
    if (++depth_ > 64) refuse("nests its expressions too deeply");
    Expression value = either();
    if (take("if")) {
      Expression condition = either();
      Expression other = take("else") ? expression() : [](const Context&) { return Value(std::string()); };
      value = [value, condition, other](const Context& c) {
        return condition(c).truth() ? value(c) : other(c);
      };
    }
    --depth_;
    return value;
  }

  /// One without a choice by `if`, which would mean another thing behind the list of a `for`.
  Expression unconditional() { return either(); }

  /// Takes the word or sign where it comes next.
  bool take(std::string_view token) {
    if (quoted_ || token_ != token || token.empty()) return false;
    advance();
    return true;
  }
  std::string name() {
    if (quoted_ || token_.empty() || !letter(token_[0])) refuse("has no name where one must be");
    return std::exchange(token_, next());
  }
  void require(std::string_view token) {
    if (!take(token)) refuse_here();
  }
  void require_end() const {
    if (quoted_ || !token_.empty()) refuse_here();
  }
  [[noreturn]] void refuse_here() const {
    refuse("has " + (token_.empty() && !quoted_ ? std::string("an end") : in_quotes(token_)) + " in " +
           in_quotes(text_) + ", which is not read here");
  }

 private:
  static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
  static bool digit(char c) { return c >= '0' && c <= '9'; }

  void advance() { token_ = next(); }

  /// A quoted text without its quotes (`quoted_`), a word, a number or a sign; empty at the end.
  std::string next() {
    // What is read nests, and so does what is then called.
    if (++tokens_ > 2000) refuse("has an expression that is too long");
    quoted_ = false;
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
    if (at_ == text_.size()) return {};
    const std::size_t begin = at_;
    const char c = text_[at_];
    if (c == '\'' || c == '"') return quoted(c);
    if (letter(c) || digit(c)) {
      while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]))) ++at_;
    } else {
      const std::string_view two = text_.substr(at_, 2);
      at_ += two == "==" || two == "!=" || two == "<=" || two == ">=" || two == "//" || two == "**" ? 2 : 1;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted(char quote) {
    std::string result;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] != '\\' || at_ + 1 == text_.size()) {
        result += text_[at_];
        continue;
      }
      const char c = text_[++at_];
      if (c != 'n' && c != 't' && c != 'r' && c != '\\' && c != '\'' && c != '"')
        refuse(std::string("has the escape \\") + printable({&c, 1}) + ", which is not read here");
      result += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    }
    if (at_ == text_.size()) refuse("has a text without its end");
    ++at_;
    quoted_ = true;
    return result;
  }

  Expression either() {
    Expression value = both();
    while (take("or")) {
      value = [value, other = both()](const Context& c) {
        Value first = value(c);
        return first.truth() ? first : other(c);
      };
    }
    return value;
  }

  Expression both() {
    Expression value = negated();
    while (take("and")) {
      value = [value, other = negated()](const Context& c) {
        Value first = value(c);
        return first.truth() ? other(c) : first;
      };
    }
    return value;
  }

  Expression negated() {
    std::size_t count = 0;
    while (take("not")) ++count;
    Expression value = compared();
    if (count == 0) return value;
    return [value, odd = count % 2 == 1](const Context& c) { return Value(value(c).truth() != odd); };
  }

  /// At most one comparison: in a chain each would be of neighbours, as in Python.
  Expression compared() {
    const Expression value = sum();
    if (quoted_) return value;
    const std::string sign = token_;
    const bool negate = sign == "!=" || sign == "not";
    Expression result = value;
    if (take("==") || take("!=")) {
      result = [value, other = sum(), negate](const Context& c) {
        return Value((value(c) == other(c)) != negate);
      };
    } else if (sign == "in" || sign == "not") {
      advance();
      if (sign == "not") require("in");
      result = [value, other = sum(), negate](const Context& c) {
        return Value(contains(other(c), value(c)) != negate);
      };
    } else if (sign == "<" || sign == ">" || sign == "<=" || sign == ">=") {
      advance();
      result = [value, other = sum(), sign](const Context& c) {
        const std::int64_t a = whole(value(c)), b = whole(other(c));
        return Value(sign == "<" ? a < b : sign == ">" ? a > b : sign == "<=" ? a <= b : a >= b);
      };
    } else {
      return value;
    }
    for (const char* next : {"==", "!=", "in", "not", "<", ">", "<=", ">="}) {
      if (!quoted_ && token_ == next) refuse_here();
    }
    return result;
  }

  Expression tested(const Expression& value) {
    const bool negate = take("not");
    const std::string test = name();
    using Kind = Value::Kind;
    const auto kind = test == "string"    ? Kind::text
                      : test == "none"    ? Kind::none
                      : test == "mapping" ? Kind::record
                                          : Kind::undefined;
    if (kind == Kind::undefined && test != "defined" && test != "undefined")
      refuse("has the test " + in_quotes(test) + ", which is not read here");
    const bool flipped = negate != (test == "defined");
    return [value, kind, flipped](const Context& c) { return Value(value(c).is(kind) != flipped); };
  }

  Expression sum() {
    Expression value = joined();
    for (;;) {
      const bool minus = !quoted_ && token_ == "-";
      if (!minus && (quoted_ || token_ != "+")) return value;
      advance();
      value = [value, other = joined(), minus](const Context& c) {
        const Value a = value(c), b = other(c);
        if (!minus && a.is(Value::Kind::text) && b.is(Value::Kind::text))
          return c.counted(Value(a.text + b.text));
        return Value(minus ? whole(a) - whole(b) : whole(a) + whole(b));
      };
    }
  }

  Expression joined() {
    Expression value = product();
    while (take("~")) {
      value = [value, other = product()](const Context& c) {
        return c.counted(Value(written(value(c)) + written(other(c))));
      };
    }
    return value;
  }

  Expression product() {
    Expression value = filtered();
    while (take("%")) {
      value = [value, other = filtered()](const Context& c) {
        const std::int64_t a = whole(value(c)), b = whole(other(c));
        if (b <= 0) refuse("takes a remainder by a number that is not positive");
        return Value((a % b + b) % b);
      };
    }
    return value;
  }

  Expression filtered() {
    Expression value = postfixed();
    for (;;) {
      if (take("is")) {
        value = tested(value);
      } else if (take("|")) {
        value = filter(value);
      } else {
        return value;
      }
    }
  }

  Expression filter(const Expression& value) {
    const std::string filter = name();
    if (filter == "trim") return [value](const Context& c) { return Value(stripped(text_of(value(c)))); };
    if (filter != "length" && filter != "count")
      refuse("has the filter " + in_quotes(filter) + ", which is not read here");
    return [value](const Context& c) {
      const Value all = value(c);
      return Value(
          static_cast<std::int64_t>(all.is(Value::Kind::list) ? all.list->size() : text_of(all).size()));
    };
  }

  Expression postfixed() {
    Expression value = primary();
    for (;;) {
      if (take(".")) {
        const std::string key = name();
        value = take("(") ? method(value, key) : Expression([value, key](const Context& c) {
          return c.counted(member(value(c), Value(key)));
        });
      } else if (take("[")) {
        value = subscript(value);
      } else {
        return value;
      }
    }
  }

  Expression subscript(const Expression& value) {
    const Expression nothing = [](const Context&) { return Value(); };
    Expression first = nothing, last = nothing;
    bool sliced = take(":");
    if (!sliced) {
      first = expression();
      sliced = take(":");
    }
    if (sliced && (quoted_ || token_ != "]")) last = expression();
    require("]");
    if (sliced) {
      return [value, first, last](const Context& c) { return slice(value(c), first(c), last(c)); };
    }
    return [value, first](const Context& c) { return c.counted(member(value(c), first(c))); };
  }

  Expression method(const Expression& value, const std::string& key) {
    std::vector<Expression> arguments;
    while (!take(")")) {
      if (!arguments.empty()) require(",");
      arguments.push_back(expression());
    }
    const bool left = key == "lstrip", right = key == "rstrip", both_ends = key == "strip";
    if ((left || right || both_ends) && arguments.empty()) {
      return [value, left, right](const Context& c) {
        return Value(stripped(text_of(value(c)), !right, !left));
      };
    }
    if ((key == "startswith" || key == "endswith") && arguments.size() == 1) {
      return [value, part = arguments[0], begins = key == "startswith"](const Context& c) {
        const std::string text = text_of(value(c)), other = text_of(part(c));
        return Value(begins ? text.starts_with(other) : text.ends_with(other));
      };
    }
    if ((key == "upper" || key == "lower") && arguments.empty()) {
      return [value, upper = key == "upper"](const Context& c) {
        std::string text = text_of(value(c));
        for (char& letter : text) {
          if (upper ? letter >= 'a' && letter <= 'z' : letter >= 'A' && letter <= 'Z')
            letter = static_cast<char>(letter ^ 0x20);
          if (static_cast<unsigned char>(letter) >= 0x80) refuse("changes the case of letters beyond ASCII");
        }
        return Value(text);
      };
    }
    if (key == "get" && !arguments.empty() && arguments.size() <= 2) {
      return [value, arguments](const Context& c) {
        Value found = member(value(c), arguments[0](c));
        if (!found.is(Value::Kind::undefined)) return found;
        return arguments.size() == 2 ? arguments[1](c) : Value::none();
      };
    }
    refuse("calls " + in_quotes(key) + ", which is not read here");
  }

  Expression primary() {
    if (quoted_) {
      Value text(std::exchange(token_, {}));
      advance();
      return [text](const Context&) { return text; };
    }
    if (take("(")) {
      Expression value = expression();
      require(")");
      return value;
    }
    if (token_.empty()) refuse_here();
    if (digit(token_[0])) {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(token_.data(), token_.data() + token_.size(), number);
      if (error != std::errc{} || end != token_.data() + token_.size()) refuse_here();
      advance();
      return [number](const Context&) { return Value(number); };
    }
    if (take("-")) {
      if (quoted_ || token_.empty() || !digit(token_[0])) refuse_here();
      return [value = primary()](const Context& c) { return Value(-whole(value(c))); };
    }
    if (!letter(token_[0])) refuse_here();
    const std::string word = name();
    for (const auto& [text, value] : {std::pair<std::string_view, Value>{"true", Value(true)},
                                      {"True", Value(true)},
                                      {"false", Value(false)},
                                      {"False", Value(false)},
                                      {"none", Value::none()},
                                      {"None", Value::none()}}) {
      if (word == text) return [constant = value](const Context&) { return constant; };
    }
    if (!quoted_ && token_ == "(") {
      advance();
      if (word != "raise_exception") refuse("calls " + in_quotes(word) + ", which is not read here");
      Expression message = expression();
      require(")");
      return [message](const Context& c) -> Value {
        throw ArgumentError("the template refuses the conversation: " + printable(text_of(message(c))));
      };
    }
    return [word](const Context& c) { return c.get(word); };
  }

  static std::string text_of(const Value& value) {
    if (!value.is(Value::Kind::text)) refuse("expects a text where there is another value");
    return value.text;
  }
  static std::int64_t whole(const Value& value) {
    if (value.is(Value::Kind::number) || value.is(Value::Kind::boolean)) {
      constexpr std::int64_t most = std::int64_t{1} << 40;
      if (value.number < most && value.number > -most) return value.number;
    }
    refuse("calculates with something that is no number, or adds a text to what is none");
  }
  static bool contains(const Value& where, const Value& what) {
    if (where.is(Value::Kind::text)) return where.text.find(text_of(what)) != std::string::npos;
    if (where.is(Value::Kind::record)) return where.record->contains(text_of(what));
    if (!where.is(Value::Kind::list)) refuse("looks for something in what is no list");
    return std::find(where.list->begin(), where.list->end(), what) != where.list->end();
  }

  std::string_view text_;
  std::size_t at_ = 0, tokens_ = 0, depth_ = 0;
  std::string token_;
  bool quoted_ = false;
};

}  // namespace sdlora::detail::jinja
