#include <cstdint>
#include <limits>
#include <sdlora/io/json.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

nlohmann::json parse(std::string_view text, const JsonLimits& limits = {}) {
  return parse_json(text, {.file = "f.json"}, limits);
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("what is read equals what nlohmann reads") {
  for (const std::string text :
       {"null", "true", "-12", "18446744073709551615", "1e-3", "\"a\\u00e9\\ud83d\\ude00\\n\"", "[]", "{}",
        " [1, [2, {\"a\": [3, null]}, \"x\"], false, -0.0] ", "{\"a\": {\"b\": [], \"c\": {}}, \"\": [[[]]]}",
        "{\"a\":1,\"b\":{\"a\":1}}"}) {
    CHECK(parse(text) == nlohmann::json::parse(text));
  }
}

TEST_CASE("bad JSON gives the file, the line and the byte") {
  check_error<FileError>([] { parse("{\n  \"a\": 1,\n  b\n}"); }, {"f.json", "line 3, column 3 (byte 14)"});
  check_error<FileError>([] { parse("{\"a\": 1, \"b\": 2, \"a\": 3}"); },
                         {"f.json", "line 1, column 20 (byte 19)", "key \"a\" stands twice"});
  check_error<FileError>([] { parse("[{\"x\": {\"k\": 1,\n\"\\u006b\": 1}}]"); },
                         {"line 2", "\"k\" stands twice"});
  check_error<FileError>([] { parse(""); }, {"f.json", "found nothing"});
  check_error<FileError>([] { parse(std::string_view("{}\0{}", 5)); }, {"byte 2", "zero byte"});
  check_error<FileError>([] { parse("\"\xFF\""); }, {"f.json", "byte 1", "UTF-8"});
  for (const std::string bad : {" ",
                                "{",
                                "}",
                                "[1,]",
                                "{\"a\":}",
                                "{\"a\" 1}",
                                "{1: 2}",
                                "[1 2]",
                                "nul",
                                "NaN",
                                "[Infinity]",
                                "1e999",
                                "01",
                                "+1",
                                "1.",
                                "'a'",
                                "\"a",
                                "\"\t\"",
                                "\"\\x\"",
                                "\"\\ud800\"",
                                "\"\\udc00\"",
                                "\"\xC0\x80\"",
                                "\"\xED\xA0\x80\"",
                                "\"\xF5\x80\x80\x80\"",
                                "{} {}",
                                "// c\n1",
                                "/* c */ 1",
                                "[1]x",
                                "\xFF\xFE[\0"}) {
    check_error<FileError>([&] { parse(bad); }, {"f.json", "line ", "column "});
  }
}

TEST_CASE("limits bound depth, size and count") {
  const JsonLimits limits{.max_bytes = 1000, .max_depth = 3, .max_values = 10};
  CHECK_NOTHROW(parse("[[[1]]]", limits));
  check_error<FileError>([&] { parse("[[[[1]]]]", limits); }, {"f.json", "byte 3", "nested deeper than 3"});
  check_error<FileError>([&] { parse("{\"a\":[{\"b\":{}}]}", limits); }, {"nested deeper than 3"});
  CHECK_NOTHROW(parse("[1,2,3,4,5,6,7,8,9]", limits));
  check_error<FileError>([&] { parse("[1,2,3,4,5,6,7,8,9,10]", limits); }, {"more than 10 JSON values"});
  check_error<FileError>([&] { parse(repeat(" ", 1001), limits); }, {"1001 bytes", "1000"});
  // neither the parser nor the clean-up recurses
  check_error<FileError>([] { parse(repeat("[", 1'000'000)); }, {"nested deeper than 64"});
  check_error<FileError>([] { parse(repeat("{\"a\":", 1'000'000)); }, {"nested deeper than 64"});
}

TEST_CASE("errors quote a bounded part of the text") {
  CHECK(test::error_of<FileError>([] { parse("\"" + repeat("long ", 100'000) + "\n"); }).size() < 600);
  CHECK(test::error_of<FileError>([] {
          parse("{\"" + repeat("k", 10'000) + "\":1,\"" + repeat("k", 10'000) + "\":1}");
        }).size() < 600);
}

TEST_CASE("every truncation of a document is an error") {
  const std::string text = "{\"a\": [1, -2.5e3, true, null, \"\\u00e9\xC3\xA9\"], \"b\": {\"c\": {}}}";
  CHECK_NOTHROW(parse(text));
  for (std::size_t length = 0; length < text.size(); ++length) {
    check_error<FileError>([&] { parse(std::string_view(text).substr(0, length)); }, {"f.json"});
  }
}

TEST_CASE("a file is read whole, within the limit, and must be a regular file") {
  const test::Folder folder;
  CHECK(read_json(folder.write("a.json", "{\"a\": 1}"))["a"] == 1);
  check_error<FileError>([&] { read_json(folder / "absent.json"); }, {"absent.json", "No such file"});
  check_error<FileError>([&] { read_json(folder.path()); }, {folder.path().string(), "regular file"});
  check_error<FileError>([&] { read_json(folder.write("e.json", "")); }, {"e.json", "found nothing"});
  check_error<FileError>([&] { read_json(folder / "a.json", {.max_bytes = 7}); }, {"a.json", "8 bytes"});
  check_error<FileError>([] { read_json("/dev/zero"); }, {"/dev/zero", "regular file"});
}

TEST_CASE("typed access names the field, the expected and the found") {
  const auto document = parse(
      "{\"n\": 3, \"m\": -3, \"big\": 18446744073709551615, \"x\": 0.5, \"s\": \"t\\n\", \"b\": true, "
      "\"null\": null, \"v\": [1, 2, \"3\"], \"w\": [1, 2], \"o\": {\"p\": {\"q\": 1}}}");
  const JsonObject top(document, "f.json");
  CHECK(top.required<int>("n") == 3);
  CHECK(top.required<std::size_t>("n") == 3);
  CHECK(top.required<std::int64_t>("m") == -3);
  CHECK(top.required<std::uint64_t>("big") == std::numeric_limits<std::uint64_t>::max());
  CHECK(top.required<double>("x") == 0.5);
  CHECK(top.required<double>("m") == -3.0);
  CHECK(top.required<std::string>("s") == "t\n");
  CHECK(top.required<bool>("b"));
  CHECK(top.required<std::vector<int>>("w") == std::vector<int>{1, 2});
  CHECK(top.object("o").object("p").required<int>("q") == 1);
  CHECK_FALSE(top.optional<int>("absent"));
  CHECK_FALSE(top.optional<int>("null"));
  CHECK_FALSE(top.contains("null"));
  CHECK_FALSE(top.optional_object("absent"));

  check_error<FileError>([&] { (void)top.required<int>("absent"); }, {"f.json: field absent", "missing"});
  check_error<FileError>([&] { (void)top.required<int>("null"); }, {"field null", "missing"});
  check_error<FileError>([&] { (void)top.required<std::size_t>("m"); }, {"field m", "integer from 0", "-3"});
  check_error<FileError>([&] { (void)top.required<std::int32_t>("big"); },
                         {"2147483647", "18446744073709551615"});
  check_error<FileError>([&] { (void)top.required<std::int64_t>("big"); }, {"9223372036854775807"});
  check_error<FileError>([&] { (void)top.required<int>("x"); }, {"field x", "0.5"});
  check_error<FileError>([&] { (void)top.required<int>("b"); }, {"field b", "found true"});
  check_error<FileError>([&] { (void)top.required<bool>("n"); }, {"true or false", "found 3"});
  check_error<FileError>([&] { (void)top.required<double>("s"); }, {"a number", "\"t\\x0a\""});
  check_error<FileError>([&] { (void)top.required<std::string>("o"); }, {"a string", "found object"});
  check_error<FileError>([&] { (void)top.required<std::vector<int>>("v"); }, {"field v[2]", "\"3\""});
  check_error<FileError>([&] { (void)top.required<std::vector<int>>("n"); }, {"an array", "found 3"});
  check_error<FileError>([&] { (void)top.object("n"); }, {"f.json: n", "an object", "found 3"});
  check_error<FileError>([&] { (void)top.object("o").object("p").required<bool>("q"); }, {"field o.p.q"});
  check_error<FileError>([&] { top.fail("n", "is odd"); }, {"f.json: field n: is odd"});
}

TEST_CASE("strings are written as JSON reads them") {
  std::string all = "\xC3\xA9\xF0\x9F\x98\x80";
  for (char c = 0; c < 127; ++c) all += c;
  CHECK(nlohmann::json::parse(json_string(all)).get<std::string>() == all);
}
