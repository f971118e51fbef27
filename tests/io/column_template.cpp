#include <sdlora/io/column_template.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

std::string filled(std::string_view text) {
  return ColumnTemplate(text).fill([](const std::string& name) { return "<" + name + ">"; });
}

}  // namespace

TEST_CASE("names in braces are filled in") {
  CHECK(filled("") == "");
  CHECK(filled("plain") == "plain");
  CHECK(filled("{a}") == "<a>");
  CHECK(filled("Q: {question one}\\nA:\\t{b}{a} ") == "Q: <question one>\nA:\t<b><a> ");
  CHECK(filled("{{{a}}} {{}} \\\\n \\d é{ü}") == "{<a>} {} \\n \\d é<ü>");
  CHECK(ColumnTemplate("x {a} y {b}{a}").columns() == std::vector<std::string>{"a", "b", "a"});
  CHECK(ColumnTemplate().empty());
  CHECK(ColumnTemplate("").empty());
  CHECK_FALSE(ColumnTemplate("x").empty());
  CHECK_FALSE(ColumnTemplate("{x}").empty());
  // What is filled in is not looked at again.
  CHECK(ColumnTemplate("{a}").fill([](const std::string&) { return "{b}\\n"; }) == "{b}\\n");
}

TEST_CASE("braces that do not match are refused") {
  for (const char* text : {"{", "a{b", "}", "a}b", "{a{b}}", "{}", "{{}", "{a}}"}) {
    CAPTURE(text);
    check_error<ArgumentError>([&] { (void)ColumnTemplate(text); }, {text, "{name}", "twice"});
  }
}
