#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../utf8.hpp"
#include "jinja_expression.hpp"

// The part of Jinja that plain chat templates are made of: `for` over messages, `if`, `set`, expressions on
// texts, and the white space rules of transformers (trim_blocks, lstrip_blocks).

namespace sdlora::detail::jinja {

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
      parts.push_back([size = inside_.size()](Context& c) { c.count(size); });
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
      const std::size_t brace = next_tag();
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
      parts.push_back([value, size = inside.size()](Context& c) {
        c.count(size);
        c.write(written(value(c)));
      });
    }
  }

  /// Where the next tag begins.
  std::size_t next_tag() const {
    std::size_t brace = text_.find('{', at_);
    while (brace != std::string_view::npos &&
           (brace + 1 == text_.size() ||
            std::string_view("{%#").find(text_[brace + 1]) == std::string_view::npos)) {
      brace = text_.find('{', brace + 1);
    }
    return brace;
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
        c.count(512);  // what a round takes, however little is in it
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
        when = [test = next.expression(), size = rest_.size()](const Context& c) {
          c.count(size);
          return test(c);
        };
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
