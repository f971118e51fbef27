#include <sdlora/io/jsonl.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

/// The number under "a" of every line, with its place.
std::vector<std::pair<int, std::string>> read(const std::filesystem::path& path,
                                              const JsonLimits& limits = {}) {
  std::vector<std::pair<int, std::string>> found;
  for_each_json_line(
      path,
      [&](const JsonObject& line, const std::string& place) {
        found.emplace_back(line.required<int>("a"), place);
      },
      limits);
  return found;
}

}  // namespace

TEST_CASE("lines come one by one with their numbers; blank ones are passed over") {
  const test::Folder folder;
  const std::vector<std::pair<int, std::string>> expected{{1, "line 1"}, {2, "line 4"}, {3, "line 5"}};
  for (const char* text :
       {"{\"a\":1}\n\n \t\n{\"a\":2}\n{\"a\":3}", "{\"a\":1}\n\n \n{\"a\":2}\n{\"a\":3}\n\n\n",
        "{\"a\":1}\r\n\r\n\r\n {\"a\":2} \r\n{\"a\":3}\r\n"}) {
    CHECK(read(folder.write("d.jsonl", text)) == expected);
  }
}

TEST_CASE("lines longer than the reading buffer, and many of them") {
  const test::Folder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "{\"pad\":\"" + std::string(static_cast<std::size_t>(i * 37), 'x') +
            "\",\"a\":" + std::to_string(i) + "}\n";
  }
  text += "{\"pad\":\"" + std::string(200'000, 'x') + "\",\"a\":300}";
  const auto found = read(folder.write("d.jsonl", text));
  REQUIRE(found.size() == 301);
  for (int i = 0; i <= 300; ++i) CHECK(found[static_cast<std::size_t>(i)].first == i);
  CHECK(found.back().second == "line 301");
}

TEST_CASE("bad lines are named") {
  const test::Folder folder;
  const auto refused = [&](std::string_view text, std::initializer_list<std::string> parts) {
    folder.write("d.jsonl", text);
    check_error<FileError>([&] { read(folder / "d.jsonl"); }, {"d.jsonl"});
    check_error<FileError>([&] { read(folder / "d.jsonl"); }, parts);
  };
  refused("", {"line 1", "found none"});
  refused("\n \n\r\n", {"found none"});
  refused("{\"a\":1}\n{\"a\":}\n", {"line 2, column 6"});
  refused("{\"a\":1}\n{\"a\":1,\"a\":2}", {"line 2, column 10", "stands twice"});
  refused("{\"a\":1}\n\n[1]", {"line 3", "an object", "found array"});
  refused("{\"a\":1}\n{\"b\":1}", {"line 2, field a: ", "missing"});
  refused("{\"a\":\"x\"}", {"line 1, field a: ", "found \"x\""});
  refused("{\"a\":1} {\"a\":2}", {"line 1, column 9"});
  refused("{\"a\":1}\n{\"b\":\"\xFF\",\"a\":1}", {"line 2, column 7", "UTF-8"});
  refused("{\"a\":\n1}", {"line 1"});
  refused(std::string_view("{\"a\":1}\n{\"a\":1}\0", 16), {"line 2, column 8", "zero byte"});
  refused("{\"a\":1}\n{\"a\":" + std::string(100'000, '['), {"line 2", "nested deeper"});
  check_error<FileError>([&] { read(folder / "absent"); }, {"absent", "no such file"});
  check_error<FileError>([&] { read(folder.path()); }, {folder.path().string(), "directory"});
  refused("[{\"a\":1},\n{\"a\":2}]", {"line 1", "an object", "an array", "jq -c '.[]'"});
  refused("\n [\n{\"a\":1}]", {"line 2", "an array"});
  refused("{\n  \"a\": 1\n}\n", {"line 1", "goes on in further lines", "jq -c '.'"});
  refused("a,b\n1,2\n", {"line 1", "found \"a,b\"", ".csv"});
  refused("null\n", {"line 1", "an object", "found \"null\""});
  refused("{\"a\":1}\nnull\n", {"line 2", "an object", "found null"});
  refused("{\"a\":1.0}", {"field a", "an integer", "found 1.0"});
  refused(std::string_view("\xFF\xFE{\0\"\0", 6), {"UTF-16", "iconv"});
  check_error<FileError>([&] { read("/dev/null"); }, {"found none"});
  folder.write("d.jsonl", "{\"a\":1}\n{\"a\":1}");
  std::filesystem::resize_file(folder / "d.jsonl", std::uintmax_t{1} << 40);  // one endless line, sparse
  check_error<FileError>([&] { read(folder / "d.jsonl"); }, {"line 2", "longer than 16777216 bytes"});
}

TEST_CASE("a byte order mark is passed over") {
  const test::Folder folder;
  CHECK(read(folder.write("d.jsonl", "\xEF\xBB\xBF{\"a\":1}")).size() == 1);
}
