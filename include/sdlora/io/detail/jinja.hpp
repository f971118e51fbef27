#pragma once

#include <algorithm>
#include <charconv>
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
#include "../utf8.hpp"

// The part of Jinja that plain chat templates are made of: `for` over messages, `if`, `set`, expressions on
// texts, and the white space rules of transformers (trim_blocks, lstrip_blocks).

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
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    }
    return {};
  }
  void set(const std::string& name, Value value) { scopes_.back().insert_or_assign(name, std::move(value)); }
  void enter() { scopes_.emplace_back(); }
  void leave() { scopes_.pop_back(); }

  void write(std::string_view text) {
    if (text.size() > most - out_.size()) throw ArgumentError("the template writes more than 64 MiB");
    out_ += text;
  }
  const std::string& out() const { return out_; }

 private:
  static constexpr std::size_t most = std::size_t{64} << 20;
  std::vector<Record> scopes_;
  std::string out_;
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
        if (!minus && a.is(Value::Kind::text) && b.is(Value::Kind::text)) return Value(a.text + b.text);
        return Value(minus ? whole(a) - whole(b) : whole(a) + whole(b));
      };
    }
  }

  Expression joined() {
    Expression value = product();
    while (take("~")) {
      value = [value, other = product()](const Context& c) {
        return Value(written(value(c)) + written(other(c)));
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
        value = take("(")
                    ? method(value, key)
                    : Expression([value, key](const Context& c) { return member(value(c), Value(key)); });
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
    return [value, first](const Context& c) { return member(value(c), first(c)); };
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

/// Reads a whole template.
class TemplateParser {
 public:
  explicit TemplateParser(std::string_view text) : text_(text) {}

  /// ArgumentError where it holds something that is not read here, which the text names.
  Statement parse() {
    Statement all = statements();
    if (!tag_.empty()) refuse("has " + in_quotes(tag_) + " without its beginning");
    return all;
  }

 private:
  static Statement in_order(std::vector<Statement> parts) {
    return [parts = std::move(parts)](Context& c) {
      for (const Statement& part : parts) part(c);
    };
  }

  /// What comes until a tag that ends or continues a block; that tag is left in `tag_`, its rest in `rest_`.
  Statement statements() {
    if (++depth_ > 64) refuse("nests its blocks too deeply");
    std::vector<Statement> parts;
    tag_.clear();
    while (next_part(parts)) {
      ExpressionParser tag(inside_);
      std::string word = tag.name();
      if (word == "for") {
        parts.push_back(loop(tag));
      } else if (word == "if") {
        parts.push_back(condition(tag));
      } else if (word == "set") {
        parts.push_back(assignment(tag));
      } else if (word == "generation" || word == "endgeneration") {
        tag.require_end();  // marks answers, writes nothing
      } else if (word == "endfor" || word == "endif" || word == "else" || word == "elif") {
        tag_ = word;
        rest_ = inside_.substr(inside_.find(word) + word.size());
        break;
      } else {
        refuse("has the block " + in_quotes(word) + ", which is not read here");
      }
    }
    --depth_;
    return in_order(std::move(parts));
  }

  /// Adds texts and expressions up to the next block's tag, whose inside goes to `inside_`; false at the end.
  bool next_part(std::vector<Statement>& parts) {
    for (;;) {
      const std::size_t brace =
          std::min({text_.find("{{", at_), text_.find("{%", at_), text_.find("{#", at_)});
      std::string_view plain = text_.substr(at_, brace == std::string_view::npos ? brace : brace - at_);
      if (trim_) {
        while (!plain.empty() && std::string_view(" \t\n\r").find(plain.front()) != std::string_view::npos)
          plain.remove_prefix(1);
      } else if (after_block_ && plain.starts_with('\n')) {
        plain.remove_prefix(1);
      }
      if (brace == std::string_view::npos) {
        // A template's last line feed is not part of it.
        if (plain.ends_with('\n')) plain.remove_suffix(1);
        add_text(parts, plain);
        at_ = text_.size();
        return false;
      }
      const char kind = text_[brace + 1];
      std::size_t begin = brace + 2;
      if (begin < text_.size() && text_[begin] == '-') {
        ++begin;
        while (!plain.empty() && std::string_view(" \t\n\r").find(plain.back()) != std::string_view::npos)
          plain.remove_suffix(1);
      } else if (kind != '{') {
        std::string_view line = plain;
        while (line.ends_with(' ') || line.ends_with('\t')) line.remove_suffix(1);
        const bool whole_line =
            line.empty() ? (at_ == 0 || text_[brace - plain.size() - 1] == '\n') : line.ends_with('\n');
        if (whole_line) plain = line;
      }
      add_text(parts, plain);
      const std::size_t end = end_of_tag(begin, kind);
      std::string_view inside = text_.substr(begin, end - begin);
      trim_ = inside.ends_with('-');
      if (trim_) inside.remove_suffix(1);
      after_block_ = kind != '{';
      at_ = end + 2;
      if (kind == '#') continue;
      if (kind == '%') {
        inside_ = inside;
        return true;
      }
      ExpressionParser parser(inside);
      Expression value = parser.expression();
      parser.require_end();
      parts.push_back([value](Context& c) { c.write(written(value(c))); });
    }
  }

  static void add_text(std::vector<Statement>& parts, std::string_view text) {
    if (text.empty()) return;
    parts.push_back([copy = std::string(text)](Context& c) { c.write(copy); });
  }

  /// Where the tag's closing signs begin, those inside of quoted texts left aside.
  std::size_t end_of_tag(std::size_t from, char kind) const {
    const std::string close = kind == '{' ? "}}" : std::string(1, kind) + "}";
    char quote = '\0';
    for (std::size_t i = from; i < text_.size(); ++i) {
      if (quote != '\0') {
        if (text_[i] == '\\')
          ++i;
        else if (text_[i] == quote)
          quote = '\0';
      } else if (kind != '#' && (text_[i] == '\'' || text_[i] == '"')) {
        quote = text_[i];
      } else if (text_.substr(i).starts_with(close)) {
        return i;
      }
    }
    refuse("has a tag without its end");
  }

  Statement loop(ExpressionParser& tag) {
    const std::string variable = tag.name();
    tag.require("in");
    const Expression list = tag.unconditional();
    tag.require_end();
    const Statement body = statements();
    if (tag_ != "endfor") refuse("has a for without its endfor");
    tag_.clear();
    return [variable, list, body](Context& c) {
      const Value values = list(c);
      if (!values.is(Value::Kind::list)) refuse("goes through something that is no list");
      const List& all = *values.list;
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto number = [](std::size_t n) { return Value(static_cast<std::int64_t>(n)); };
        c.enter();
        c.set(variable, all[i]);
        Record loop{{"index", number(i + 1)},
                    {"index0", number(i)},
                    {"first", Value(i == 0)},
                    {"last", Value(i + 1 == all.size())},
                    {"length", number(all.size())},
                    {"revindex", number(all.size() - i)},
                    {"revindex0", number(all.size() - i - 1)}};
        if (i > 0) loop.emplace("previtem", all[i - 1]);
        if (i + 1 < all.size()) loop.emplace("nextitem", all[i + 1]);
        c.set("loop", Value(std::move(loop)));
        body(c);
        c.leave();
      }
    };
  }

  Statement condition(ExpressionParser& tag) {
    std::vector<std::pair<Expression, Statement>> branches;
    Expression when = tag.expression();
    tag.require_end();
    for (;;) {
      Statement body = statements();
      branches.emplace_back(std::move(when), std::move(body));
      if (tag_ == "endif") break;
      ExpressionParser next(rest_);
      if (tag_ == "elif") {
        when = next.expression();
      } else if (tag_ == "else") {
        when = [](const Context&) { return Value(true); };
      } else {
        refuse("has an if without its endif");
      }
      next.require_end();
    }
    tag_.clear();
    return [branches](Context& c) {
      for (const auto& [test, body] : branches) {
        if (test(c).truth()) return body(c);
      }
    };
  }

  static Statement assignment(ExpressionParser& tag) {
    const std::string variable = tag.name();
    tag.require("=");
    const Expression value = tag.expression();
    tag.require_end();
    return [variable, value](Context& c) { c.set(variable, value(c)); };
  }

  std::string_view text_, inside_, rest_;
  std::size_t at_ = 0;
  std::string tag_;
  bool trim_ = false, after_block_ = false;
  std::size_t depth_ = 0;
};

}  // namespace sdlora::detail::jinja
