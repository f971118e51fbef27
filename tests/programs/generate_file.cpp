#include "support.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

using namespace programs;

namespace {

/// What the command prints behind a prompt of its own.
std::string alone(const std::string& prompt, const Arguments& arguments) {
  const std::string out = run_well("sdlora generate", with(arguments, {"--prompt", prompt}));
  REQUIRE(out.starts_with(prompt));
  REQUIRE(out.ends_with("\n"));
  return out.substr(prompt.size(), out.size() - prompt.size() - 1);
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\n' ? "\\n" : c == '\\' ? "\\\\" : std::string(1, c);
  return result;
}

}  // namespace

TEST_CASE("programs: generate answers each line of a file as it answers it alone") {
  const Workplace at;
  const std::vector<std::string> prompts{"abc", "x y", "\\n is no line's end", "abc"};
  std::string lines;
  for (const std::string& prompt : prompts) lines += prompt + "\n";
  at.write("prompts", lines);
  for (const Arguments& sampling : {Arguments{}, Arguments{"--temperature", "1", "--seed", "3"}}) {
    const Arguments arguments = with({"--model", at.at("base"), "--max-tokens", "12"}, sampling);
    std::string expected;
    for (const std::string& prompt : prompts) expected += escaped(alone(prompt, arguments)) + "\n";
    CHECK(run_well("sdlora generate", with(arguments, {"--file", at.at("prompts")})) == expected);
  }
}

TEST_CASE("programs: generate writes its answers as JSON") {
  const Workplace at;
  at.write("prompts", "abc\r\nanother\n");
  const Arguments arguments{"--model",       at.at("base"), "--max-tokens", "4",
                            "--temperature", "0.5",         "--seed",       "7"};
  std::istringstream out(
      run_well("sdlora generate", with(arguments, {"--file", at.at("prompts"), "--json"})));
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(out, line);) rows.push_back(nlohmann::json::parse(line));
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("prompt") == "abc");
  CHECK(rows[1].at("prompt") == "another");
  for (const auto& row : rows) {
    CHECK(row.size() == 2);
    const std::string prompt = row.at("prompt");
    const auto single =
        nlohmann::json::parse(run_well("sdlora generate", with(arguments, {"--prompt", prompt, "--json"})));
    CHECK(single == row);
    const std::string answer = alone(prompt, arguments);
    if (sdlora::find_invalid_utf8(answer) == std::string::npos) CHECK(row.at("answer") == answer);
  }
  const auto ids = nlohmann::json::parse(run_well(
      "sdlora generate", {"--model", at.at("ids_base"), "--ids", "3,4", "--max-tokens", "4", "--json"}));
  CHECK(ids.at("ids") == nlohmann::json{3, 4});
  std::string listed;
  for (const int id : ids.at("answer_ids")) listed += std::to_string(id) + " ";
  CHECK(listed + "\n" ==
        run_well("sdlora generate", {"--model", at.at("ids_base"), "--ids", "3,4", "--max-tokens", "4"}));
}

TEST_CASE("programs: generate refuses a file with no prompts before it answers any") {
  const Workplace at;
  const auto fails = [&](const Arguments& more, std::initializer_list<std::string> parts) {
    check_fails("sdlora generate", with({"--model", at.at("base")}, more), parts);
  };
  at.write("gap", "abc\n\nd\n");
  fails({"--file", at.at("gap")}, {at.at("gap") + ": line 2", "found an empty line"});
  at.write("empty", "");
  fails({"--file", at.at("empty")}, {at.at("empty"), "expected prompts", "found none"});
  fails({"--file", at.at("absent")}, {at.at("absent"), "no such file"});
  fails({"--file", ""}, {"--file", "is a variable unset"});
  fails({"--file", at.at("gap"), "--prompt", "a"}, {"--prompt"});
  fails({"--file", at.at("gap"), "--ids", "1"}, {"--ids"});
  check_fails("sdlora generate", {"--model", at.at("ids_base"), "--file", at.at("gap")},
              {"config.json", "byte"});
}
