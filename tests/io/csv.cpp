#include <random>
#include <sdlora/io/csv.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

using Row = std::vector<std::string>;

struct Table {
  std::vector<Row> rows;
  std::vector<std::string> places;
};

Table read(const test::Folder& folder, std::string_view text, TableFormat format = TableFormat::csv) {
  Table table;
  for_each_table_row(folder.write("d.csv", text), format, [&](const Row& fields, const std::string& place) {
    table.rows.push_back(fields);
    table.places.push_back(place);
  });
  return table;
}

}  // namespace

TEST_CASE("rows and fields, with the lines that they begin in") {
  const test::Folder folder;
  const auto table =
      read(folder, "a,b\r\n1,\"two, three\"\n\n\"x\ny\r\nz\",\"say \"\"hi\"\"\"\n,\n\"\",\"\"\"\"\nlast,");
  CHECK(table.rows ==
        std::vector<Row>{
            {"a", "b"}, {"1", "two, three"}, {"x\ny\nz", "say \"hi\""}, {"", ""}, {"", "\""}, {"last", ""}});
  CHECK(table.places == std::vector<std::string>{"line 1", "line 2", "line 4", "line 7", "line 8", "line 9"});
  CHECK(read(folder, "").rows.empty());
  CHECK(read(folder, "\n\r\n").rows.empty());
  CHECK(read(folder, "\xEF\xBB\xBFq,a").rows == std::vector<Row>{{"q", "a"}});
  CHECK(read(folder, "5\" disk,it's").rows == std::vector<Row>{{"5\" disk", "it's"}});
  CHECK(read(folder, "\"\n\n\"").rows == std::vector<Row>{{"\n\n"}});
  CHECK(read(folder, "é,\"ü\"").rows == std::vector<Row>{{"é", "ü"}});
}

TEST_CASE("tabs make fields, and quotes are characters") {
  const test::Folder folder;
  const auto table = read(folder, "a\tb\r\n\"x\t\"y\" z\n\t\n", TableFormat::tsv);
  CHECK(table.rows == std::vector<Row>{{"a", "b"}, {"\"x", "\"y\" z"}, {"", ""}});
}

TEST_CASE("bad rows are named") {
  const test::Folder folder;
  const auto refused = [&](std::string_view text, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { (void)read(folder, text); }, {"d.csv: "});
    check_error<FileError>([&] { (void)read(folder, text); }, parts);
  };
  refused("a\n\"b\nc\nd", {"line 2", "end of the file", "double"});
  refused("a\n\"", {"line 2", "end of the file"});
  refused("a\n\"b\"c,d", {"line 2", "found \"c,d\"", "comma", "double"});
  refused("a\n\"b\" ,d", {"line 2", "comma"});
  refused("a\nb\xE9,d", {"line 2", "\\xe9", "byte 1", "iconv"});
  refused("a\n\"b\n\xFF\"", {"line 3", "UTF-8"});
  check_error<FileError>([&] { for_each_table_row(folder / "absent", TableFormat::csv, [](auto&&...) {}); },
                         {"absent"});
}

TEST_CASE("what is written by the rules comes back") {
  const test::Folder folder;
  std::mt19937 random(47);
  const std::vector<std::string> parts{"a", ",", "\"", "\n", "\"\"", " ", "é", "\t", "'", "x,y"};
  for (int i = 0; i < 200; ++i) {
    std::vector<Row> rows(1 + random() % 5, Row(1 + random() % 4));
    std::string text;
    for (Row& row : rows) {
      for (std::size_t k = 0; k < row.size(); ++k) {
        for (auto count = random() % 6; count > 0; --count) row[k] += parts[random() % parts.size()];
        std::string quoted;
        for (const char c : row[k]) quoted += c == '"' ? "\"\"" : std::string(1, c);
        text += (k == 0 ? "\"" : ",\"") + quoted + "\"";
      }
      text += random() % 2 == 0 ? "\n" : "\r\n";
    }
    CHECK(read(folder, text).rows == rows);
  }
}
