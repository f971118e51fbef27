// examples/experiments/synthetic_s4: its cells, and that it goes on where it was.
#include "support.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using namespace programs;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("synthetic_s4: a cut line is run again, all others are kept; the table is the same") {
  const test::Folder folder;
  const std::string out = folder / "cells.jsonl";
  const Arguments arguments{"--quick", "--seeds", "2",         "--rates",        "1e-2",
                            "--out",   out,       "--methods", "frozen,full,SDT"};
  const Result first = run("synthetic_s4", arguments);
  CAPTURE(first.err);
  REQUIRE(first.status == 0);
  CHECK(first.err.find("left") != std::string::npos);
  std::vector<std::string> cells = lines_of(test::content(out));
  REQUIRE(cells.size() == 2 * 8);
  double frozen = 0.0, full = 0.0;
  for (const std::string& line : cells) {
    const auto json = nlohmann::json::parse(line);
    if (json.at("seed") != 1) continue;
    if (json.at("method") == "frozen") frozen = json.at("test");
    if (json.at("method") == "full") full = json.at("test");
  }
  CHECK(full < 0.8 * frozen);  // it learns
  CHECK(first.out.find("| full | 1632 | 100.0 % |") != std::string::npos);
  CHECK(first.out.find("±") != std::string::npos);

  const std::string last = cells.back();
  {
    std::ofstream file(out, std::ios::trunc);
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) file << cells[i] << '\n';
    file << last.substr(0, last.size() / 2);
  }
  const Result again = run("synthetic_s4", arguments);
  REQUIRE(again.status == 0);
  CHECK(again.err.find("[1/1]") != std::string::npos);
  CHECK(again.err.find("[2/") == std::string::npos);
  CHECK(again.out == first.out);
  const std::size_t before = lines_of(test::content(out)).size();
  Arguments more = arguments;
  more.push_back("--report");
  CHECK(run("synthetic_s4", more).out == first.out);
  CHECK(lines_of(test::content(out)).size() == before);
}

TEST_CASE("synthetic_s4: wrong options are named") {
  check_fails("synthetic_s4", {"--quick", "--rates", "1e-2,fast"}, {"--rates", "'fast'"});
  check_fails("synthetic_s4", {"--quick", "--methods", "magic"}, {"--methods"});
}
